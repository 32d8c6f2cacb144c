import { readFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { FirstStart } from '../../apps/api/first-start.js';
import { postmanCollection, type PostmanCollection, type PostmanItem } from '../../docs/postman-collection.mjs';
import { TestApi } from '../harness/api.js';
import { openApiOf, operationsOf, type OpenApi } from './open-api.js';
import { runCollection } from './postman-run.js';

const FILE = 'docs/stowage.postman_collection.json';
const STALE = `${FILE} is not of this OpenAPI document; run: npm run build && node docs/postman.mjs`;

let api: TestApi;
let document: OpenApi;
let kept: PostmanCollection;

beforeAll(async () => {
  api = await TestApi.start({ STOWAGE_SEED: 'true', WORKER: 'inline' });
  document = await openApiOf(api);
  kept = JSON.parse(await readFile(resolve(FILE), 'utf8')) as PostmanCollection;
});
afterAll(() => api.stop());

/** A variable in a body may stand for a number. */
const filled = (raw: string): string => raw.replace(/"?\{\{\w+\}\}"?/g, '1');

function requestsOf(collection: PostmanCollection): PostmanItem['request'][] {
  return collection.item.flatMap((folder) => folder.item.map(({ request }) => request));
}

/** As the OpenAPI document names it: `GET /api/v1/batches/{batch_id}`. */
function nameOf({ method, url }: PostmanItem['request']): string {
  return `${method} /${url.path.map((segment) => segment.replace(/^:(.*)$/, '{$1}')).join('/')}`;
}

describe('the kept Postman collection', () => {
  it('has every route of the OpenAPI document, and nothing else, under names of their own', () => {
    const routes = operationsOf(document).map(([name]) => name);
    const requests = requestsOf(kept).map(nameOf);
    const missing = routes.filter((name) => !requests.includes(name));
    const strange = requests.filter((name) => !routes.includes(name));
    expect({ STALE, missing, strange }).toEqual({ STALE, missing: [], strange: [] });
    const names = kept.item.flatMap(({ item }) => item.map(({ name }) => name));
    expect(names.filter((name, at) => names.indexOf(name) !== at)).toEqual([]);
  });

  it('succeeds from top to bottom on a server just made, fixtures and all', async () => {
    const { admin = '' } = await api.app.get(FirstStart).run(() => undefined);
    const given = { base_url: api.origin, admin_key: admin, operator_key: api.operatorKey };
    const sent = await runCollection(kept, given);
    expect(sent.filter(({ status }) => status < 200 || status > 299)).toEqual([]);
    expect(sent.map(({ name }) => name)).toEqual(kept.item.flatMap(({ item }) => item.map(({ name }) => name)));
  });

  it('is what docs/postman.mjs makes of the OpenAPI document', () => {
    const made = postmanCollection(document);
    expect(JSON.stringify(kept) === JSON.stringify(made) ? 'the same' : STALE).toBe('the same');
  });

  it('has a body of JSON, of a type that the route takes, wherever there is one', () => {
    const operations = new Map(operationsOf(document));
    for (const request of requestsOf(kept)) {
      const name = nameOf(request);
      const types = Object.keys(operations.get(name)?.requestBody?.content ?? {});
      const type = request.header.find(({ key }) => key === 'Content-Type')?.value;
      expect([name, request.body !== undefined, types.includes(type ?? '')]).toEqual([
        name,
        types.length > 0,
        types.length > 0,
      ]);
      if (request.body !== undefined)
        expect([name, JSON.parse(filled(request.body.raw))]).toEqual([name, expect.anything()]);
    }
  });

  it('sends the key of a role that may do it where one is needed, and none elsewhere', () => {
    const operations = new Map(operationsOf(document));
    for (const request of requestsOf(kept)) {
      const { 'x-roles': roles } = operations.get(nameOf(request)) ?? {};
      const { auth } = request;
      const key = auth.type === 'noauth' ? undefined : auth.apikey.find((one) => one.key === 'value')?.value;
      const allowed = roles?.map((role) => `{{${role}_key}}`) ?? [undefined];
      expect([nameOf(request), allowed]).toEqual([nameOf(request), expect.arrayContaining([key])]);
    }
  });
});
