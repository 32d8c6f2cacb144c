import { runInNewContext } from 'node:vm';
import type { PostmanCollection, PostmanItem } from '../../docs/postman-collection.mjs';

/** A job that has to fail, and does not, is asked for so often at most. */
const ASKED_MAX = 2_000;

/** What came of a request of a collection. */
export interface Sent {
  name: string;
  /** Method and address, as sent. */
  request: string;
  status: number;
  text: string;
}

/**
 * Sends the requests of a collection as Postman does: from top to bottom, unless a script says which is the next, with the
 * variables as they then are.
 * @throws where a variable has no value yet: without an id, the address of one thing would be that of the whole list
 */
export async function runCollection(collection: PostmanCollection, given: Record<string, string>): Promise<Sent[]> {
  const items = collection.item.flatMap(({ item }) => item);
  const variables = new Map(collection.variable.map(({ key, value }) => [key, value]));
  for (const [name, value] of Object.entries(given)) variables.set(name, value);
  const sent: Sent[] = [];
  let item = items[0];
  for (let asked = 0; item !== undefined && asked < ASKED_MAX; asked++) {
    const { request, response } = await send(item, variables);
    const { status } = response;
    const text = await response.text();
    const next = runScripts(item, text, variables);
    if (next !== item.name) sent.push({ name: item.name, request, status, text });
    item = next === undefined ? items[items.indexOf(item) + 1] : items.find(({ name }) => name === next);
  }
  return sent;
}

async function send({ request }: PostmanItem, variables: ReadonlyMap<string, string>) {
  const fill = (text: string): string => text.replace(/\{\{(\w+)\}\}/g, (_, name: string) => valueOf(variables, name));
  const { method, url, header, auth, body } = request;
  const path = url.path.map((segment) => {
    const its = url.variable?.find(({ key }) => `:${key}` === segment);
    return its === undefined ? segment : encodeURIComponent(fill(its.value));
  });
  const address = new URL(path.join('/'), `${fill(url.host.join('.'))}/`);
  for (const { key, value, disabled } of url.query ?? [])
    if (disabled !== true) address.searchParams.append(key, fill(value));
  const headers = new Headers();
  for (const { key, value, disabled } of header) if (disabled !== true) headers.set(key, fill(value));
  if (auth.type === 'apikey') {
    const { key = '', value = '' } = Object.fromEntries(auth.apikey.map(({ key, value }) => [key, value]));
    headers.set(key, fill(value));
  }
  const response = await fetch(address, {
    method,
    headers,
    ...(body === undefined ? {} : { body: fill(body.raw) }),
  });
  return { request: `${method} ${address.href}`, response };
}

function valueOf(variables: ReadonlyMap<string, string>, name: string): string {
  const value = variables.get(name) ?? '';
  if (value === '') throw new Error(`the variable ${name} has no value`);
  return value;
}

/** Runs what stands behind the answer, with as much of Postman as our scripts use. @returns the request named as the next */
function runScripts({ name, event = [] }: PostmanItem, text: string, variables: Map<string, string>) {
  let next: string | undefined;
  const pm = {
    response: { json: (): unknown => JSON.parse(text) },
    collectionVariables: { set: (variable: string, value: unknown) => variables.set(variable, String(value)) },
    execution: {
      setNextRequest: (named: string) => {
        next = named;
      },
    },
    info: { requestName: name },
  };
  for (const { script } of event) runInNewContext(script.exec.join('\n'), { pm });
  return next;
}
