/**
 * Makes the Postman collection (v2.1) of an OpenAPI document: a folder a tag, a request an operation, with the document's
 * own examples, in an order in which each finds what it needs. The same document always makes the same collection.
 *
 * Our own instead of `openapi-to-postmanv2` (Postman's, 6.3.3: it runs on Node.js 20 and takes OpenAPI 3.1), because that
 * - brings 85 packages and 40 MB, among them pinned ones with known faults: yaml 1.10.2 (CVE-2026-33532) and uuid 8.3.2
 *   (CVE-2026-41907);
 * - gives each item a random id and makes up values where there is no example, so that no two runs agree. With the
 *   examples completed and the ids taken out again, what would be left to it is what stands here.
 */
const SCHEMA = 'https://schema.getpostman.com/json/collection/v2.1.0/collection.json';

const USE = `Run it from top to bottom on a server that has just been made: set \`base_url\`, \`operator_key\` and \`admin_key\`
(the first start prints both keys); the other variables are set by the answers.`;
const GIVEN = { base_url: 'http://127.0.0.1:8000', operator_key: '', admin_key: '' };

/** Whose key goes with a request: that of the first of these that the operation's `x-roles` has. */
const SENDERS = ['operator', 'admin', 'device'];

const AGAIN_UNTIL_FAILED = `const { status, created_at: at } = pm.response.json();
if (status !== 'failed' && Date.now() - Date.parse(at) < 30000) pm.execution.setNextRequest(pm.info.requestName);`;

/** Where a request has to differ from what its operation says, so as to succeed after those before it. */
const CHANGES = {
  'POST /api/v1/devices': { sets: { device_id: 'device_id', device_key: 'key' } },
  // The object of the example came with the batch.
  'POST /api/v1/objects': { body: { object_id: 'shoe-2' } },
  // The next request is one for failed jobs.
  'GET /api/v1/jobs/{job_id}': { script: AGAIN_UNTIL_FAILED },
  // Afterwards the admin does not see the device.
  'PATCH /api/v1/devices/{device_id}': { isLast: true },
  // The object that came with it is still there.
  'DELETE /api/v1/batches/{batch_id}': { send: { cascade: 'true' } },
};

/** The jobs begin with a second use of an operation: no other request leaves a job that failed. */
const FAILING_JOB = {
  of: 'POST /api/v1/batches',
  name: 'Store the batch again, by a job, which fails: the batch is there',
  tag: 'jobs',
  send: { Prefer: 'respond-async' },
  sets: { job_id: 'id' },
};

export function postmanCollection(document) {
  const steps = Object.entries(document.paths).flatMap(([path, item]) =>
    Object.entries(item).map(([method, operation]) => stepOf(method.toUpperCase(), path, operation, document)),
  );
  steps.unshift({ ...steps.find(({ route }) => route === FAILING_JOB.of), ...FAILING_JOB });
  const set = new Set(steps.flatMap(({ sets }) => Object.keys(sets)));
  for (const step of steps) step.item = itemOf(step, set, document);
  const variables = { ...GIVEN, ...Object.fromEntries(Array.from(set, (name) => [name, ''])) };
  return {
    info: { name: document.info.title, description: `${USE}\n\n${document.info.description}`, schema: SCHEMA },
    event: [testScript("pm.test('is answered with success', () => pm.response.to.be.success);")],
    variable: Object.entries(variables).map(([key, value]) => ({ key, value, type: 'string' })),
    item: foldersOf(steps).map(([name, its]) => ({ name, item: its.map(({ item }) => item) })),
  };
}

/** An operation to be made a request of. `sets` names variables, and the member of the answer that each is set from. */
function stepOf(method, path, operation, document) {
  const route = `${method} ${path}`;
  const sets = method === 'POST' ? idMadeBy(path, operation, document) : {};
  const step = {
    route,
    method,
    path,
    operation,
    sets,
    tag: operation.tags?.[0] ?? 'other',
    isLast: method === 'DELETE',
  };
  return { ...step, name: operation.summary ?? route, ...CHANGES[route] };
}

/** Where there is `/batches/{batch_id}`, a POST to `/batches` makes a `batch_id`, which its answer has as that or as `id`. */
function idMadeBy(path, { responses }, document) {
  const made = exampleOf(responses[201]?.content?.['application/json']?.schema ?? {}, document) ?? {};
  const below = Object.keys(document.paths).filter((one) => one.startsWith(path));
  const [id] = below.flatMap((one) => /^\/\{(\w+)\}$/.exec(one.slice(path.length))?.[1] ?? []);
  const member = [id, 'id'].find((name) => name in made);
  return id === undefined || member === undefined ? {} : { [id]: member };
}

/** A folder a tag, each after those that make what it needs; what ends things comes last, the youngest first. */
function foldersOf(steps) {
  const left = new Map();
  for (const step of steps) left.set(step.tag, [...(left.get(step.tag) ?? []), step]);
  const made = new Set(Object.keys(GIVEN));
  const folders = [];
  while (left.size > 0) {
    const isReady = ([, its]) => {
      const own = its.flatMap(({ sets }) => Object.keys(sets));
      return its.flatMap(needsOf).every((name) => made.has(name) || own.includes(name));
    };
    const next = [...left].find(isReady);
    if (next === undefined) throw new Error(`no order fits what these need: ${[...left.keys()].join(', ')}`);
    const [tag, its] = next;
    left.delete(tag);
    folders.push([tag, its.sort((a, b) => makes(b) - makes(a))]);
    for (const name of its.flatMap(({ sets }) => Object.keys(sets))) made.add(name);
  }
  const last = folders.flatMap(([, its]) => its.filter(({ isLast }) => isLast)).reverse();
  return [...folders.map(([tag, its]) => [tag, its.filter(({ isLast }) => !isLast)]), ['moving and deleting', last]];
}

function makes({ sets }) {
  return Object.keys(sets).length > 0 ? 1 : 0;
}

function needsOf({ item }) {
  return Array.from(JSON.stringify(item.request).matchAll(/\{\{(\w+)\}\}/g), ([, name]) => name);
}

function itemOf(step, variables, document) {
  const { method, path, operation, name, send = {}, sets, script } = step;
  // The example of what it makes itself stands in its body.
  const known = new Set([...variables].filter((variable) => !(variable in sets)));
  const body = bodyOf(step, known, document);
  const headers = parametersOf(operation, 'header', send, known).sort((a, b) => (a.key < b.key ? -1 : 1));
  const request = {
    auth: authOf(operation),
    method,
    header: [...(body === undefined ? [] : [{ key: 'Content-Type', value: body.type }]), ...headers],
    ...(body === undefined ? {} : { body: body.raw }),
    url: urlOf(path, operation, send, known, document),
    description: operation.description ?? operation.summary ?? '',
  };
  const lines = Object.entries(sets).map(
    ([variable, member]) => `pm.collectionVariables.set('${variable}', pm.response.json().${member});`,
  );
  if (script !== undefined) lines.push(...script.split('\n'));
  return { name, ...(lines.length === 0 ? {} : { event: [testScript(...lines)] }), request, response: [] };
}

function testScript(...exec) {
  return { listen: 'test', script: { type: 'text/javascript', exec } };
}

function authOf({ 'x-roles': roles }) {
  if (roles === undefined) return { type: 'noauth' };
  const apiKey = { key: 'X-Api-Key', value: `{{${SENDERS.find((one) => roles.includes(one))}_key}}`, in: 'header' };
  return { type: 'apikey', apikey: Object.entries(apiKey).map(([key, value]) => ({ key, value, type: 'string' })) };
}

function urlOf(path, operation, send, known, document) {
  const segments = path.replaceAll(/\{(\w+)\}/g, ':$1').slice(1);
  const query = parametersOf(operation, 'query', send, known);
  const sent = query.filter(({ disabled }) => !disabled).map(({ key, value }) => `${key}=${value}`);
  // In the order of the path: that of the decorators, which the document has, is the compiler's.
  const variable = Array.from(path.matchAll(/\{(\w+)\}/g), ([, name]) => {
    const inPath = ({ in: place, name: its }) => place === 'path' && its === name;
    const { description = '', example, schema } = operation.parameters?.find(inPath) ?? {};
    const value = known.has(name) ? `{{${name}}}` : (example ?? schema?.example ?? exampleNamed(name, document));
    return { key: name, value: textOf(value), description };
  });
  return {
    raw: `{{base_url}}/${segments}${sent.length === 0 ? '' : `?${sent.join('&')}`}`,
    host: ['{{base_url}}'],
    path: segments.split('/'),
    ...(query.length === 0 ? {} : { query }),
    ...(variable.length === 0 ? {} : { variable }),
  };
}

/** What may be left out is there, but switched off, unless it is to be sent. */
function parametersOf(operation, place, send, known) {
  return (operation.parameters ?? [])
    .filter((parameter) => parameter.in === place)
    .map(({ name, description = '', required = false, example, schema }) => {
      const own = example ?? schema?.example ?? schema?.default ?? schema?.enum?.[0];
      const isSent = required || name in send;
      const value = send[name] ?? (isSent && known.has(name) ? `{{${name}}}` : textOf(own));
      return { key: name, value, description, ...(isSent ? {} : { disabled: true }) };
    });
}

/** The body in the first media type that is JSON, and not lines of JSON; ids in it are those made before. */
function bodyOf({ operation: { requestBody }, body = {} }, known, document) {
  const media = Object.entries(requestBody?.content ?? {}).find(([type]) => /[/+]json$/.test(type));
  if (media === undefined) return undefined;
  const [type, { example, schema }] = media;
  const value = example ?? exampleOf(schema, document) ?? {};
  const ids = Object.keys(value).filter((name) => known.has(name));
  const sent = { ...value, ...Object.fromEntries(ids.map((name) => [name, `{{${name}}}`])), ...body };
  const raw = ids
    .filter((name) => typeof value[name] === 'number')
    .reduce((text, name) => text.replace(`"{{${name}}}"`, `{{${name}}}`), JSON.stringify(sent, null, 2));
  return { type, raw: { mode: 'raw', raw, options: { raw: { language: 'json' } } } };
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
