/**
 * Makes the Postman collection (v2.1) of an OpenAPI document: a folder a tag, a request an operation, with the document's
 * own examples. The same document always makes the same collection.
 *
 * Our own instead of `openapi-to-postmanv2` (Postman's, 6.3.3: it runs on Node.js 20 and takes OpenAPI 3.1), because that
 * - brings 85 packages and 40 MB, among them pinned ones with known faults: yaml 1.10.2 (CVE-2026-33532) and uuid 8.3.2
 *   (CVE-2026-41907);
 * - gives each item a random id and makes up values where there is no example, so that no two runs agree. With the
 *   examples completed and the ids taken out again, what would be left to it is what stands here.
 */
const SCHEMA = 'https://schema.getpostman.com/json/collection/v2.1.0/collection.json';
const API_KEY = { key: 'X-Api-Key', value: '{{api_key}}', in: 'header' };

export function postmanCollection(document) {
  const folders = new Map();
  for (const [path, item] of Object.entries(document.paths)) {
    for (const [method, operation] of Object.entries(item)) {
      const tag = operation.tags?.[0] ?? 'other';
      if (!folders.has(tag)) folders.set(tag, []);
      folders.get(tag).push(itemOf(method.toUpperCase(), path, operation, document));
    }
  }
  return {
    info: { name: document.info.title, description: document.info.description, schema: SCHEMA },
    auth: {
      type: 'apikey',
      apikey: Object.entries(API_KEY).map(([key, value]) => ({ key, value, type: 'string' })),
    },
    variable: [
      { key: 'base_url', value: 'http://127.0.0.1:8000', type: 'string' },
      { key: 'api_key', value: '', type: 'string' },
    ],
    item: Array.from(folders, ([name, items]) => ({ name, item: items })),
  };
}

function itemOf(method, path, operation, document) {
  const body = bodyOf(operation.requestBody, document);
  const contentType = body === undefined ? [] : [{ key: 'Content-Type', value: body.type }];
  const request = {
    method,
    header: [...contentType, ...parametersOf(operation, 'header').sort((a, b) => (a.key < b.key ? -1 : 1))],
    ...(body === undefined ? {} : { body: body.raw }),
    url: urlOf(path, operation, document),
    description: operation.description ?? operation.summary ?? '',
    // With a security of its own it is that of the whole collection.
    ...(operation.security === undefined ? { auth: { type: 'noauth' } } : {}),
  };
  return { name: operation.summary ?? `${method} ${path}`, request, response: [] };
}

function urlOf(path, operation, document) {
  const segments = path.replaceAll(/\{(\w+)\}/g, ':$1').slice(1);
  const query = parametersOf(operation, 'query');
  const sent = query.filter(({ disabled }) => !disabled).map(({ key, value }) => `${key}=${value}`);
  // In the order of the path: that of the decorators, which the document has, is the compiler's.
  const variable = Array.from(path.matchAll(/\{(\w+)\}/g), ([, name]) => {
    const inPath = ({ in: place, name: its }) => place === 'path' && its === name;
    const { description = '', example, schema } = operation.parameters?.find(inPath) ?? {};
    return { key: name, value: textOf(example ?? schema?.example ?? exampleNamed(name, document)), description };
  });
  return {
    raw: `{{base_url}}/${segments}${sent.length === 0 ? '' : `?${sent.join('&')}`}`,
    host: ['{{base_url}}'],
    path: segments.split('/'),
    ...(query.length === 0 ? {} : { query }),
    ...(variable.length === 0 ? {} : { variable }),
  };
}

/** What may be left out is there, but switched off. */
function parametersOf(operation, place) {
  return (operation.parameters ?? [])
    .filter((parameter) => parameter.in === place)
    .map(({ name, description = '', required = false, example, schema }) => ({
      key: name,
      value: textOf(example ?? schema?.example ?? schema?.default ?? schema?.enum?.[0]),
      description,
      ...(required ? {} : { disabled: true }),
    }));
}

/** The body in the first media type that is JSON, and not lines of JSON. */
function bodyOf(requestBody, document) {
  const media = Object.entries(requestBody?.content ?? {}).find(([type]) => /[/+]json$/.test(type));
  if (media === undefined) return undefined;
  const [type, { example, schema }] = media;
  const value = example ?? exampleOf(schema, document) ?? {};
  return { type, raw: { mode: 'raw', raw: JSON.stringify(value, null, 2), options: { raw: { language: 'json' } } } };
}

/** What a schema's own examples make together; undefined where they make nothing. */
function exampleOf(schema, document) {
  if (schema.example !== undefined) return schema.example;
  if (schema.$ref !== undefined) return exampleOf(document.components.schemas[schema.$ref.split('/').at(-1)], document);
  const [either] = schema.oneOf ?? schema.anyOf ?? [];
  if (either !== undefined) return exampleOf(either, document);
  if (schema.items !== undefined) {
    const element = exampleOf(schema.items, document);
    return element === undefined ? undefined : [element];
  }
  const members = Object.entries(schema.properties ?? {})
    .map(([name, one]) => [name, exampleOf(one, document)])
    .filter(([, example]) => example !== undefined);
  return members.length === 0 ? undefined : Object.fromEntries(members);
}

/** A path's `batch_id` is the `batch_id` of the bodies, so that the requests speak of the same things. */
function exampleNamed(name, document) {
  return Object.values(document.components.schemas)
    .map(({ properties }) => properties?.[name]?.example)
    .find((example) => example != null);
}

function textOf(value) {
  if (value === undefined) return '';
  return typeof value === 'object' ? JSON.stringify(value) : String(value);
}
