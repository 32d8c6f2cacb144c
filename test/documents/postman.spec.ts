import { readFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { postmanCollection, type PostmanCollection, type PostmanItem } from '../../docs/postman-collection.mjs';
import { TestApi } from '../harness/api.js';
import { openApiOf, operationsOf, type OpenApi } from './open-api.js';

const FILE = 'docs/stowage.postman_collection.json';
const STALE = `${FILE} is not of this OpenAPI document; run: npm run build && node docs/postman.mjs`;

let api: TestApi;
let document: OpenApi;
let kept: PostmanCollection;

beforeAll(async () => {
  api = await TestApi.start();
  document = await openApiOf(api);
  kept = JSON.parse(await readFile(resolve(FILE), 'utf8')) as PostmanCollection;
});
afterAll(() => api.stop());

function requestsOf(collection: PostmanCollection): PostmanItem['request'][] {
  return collection.item.flatMap((folder) => folder.item.map(({ request }) => request));
}

/** As the OpenAPI document names it: `GET /api/v1/batches/{batch_id}`. */
function nameOf({ method, url }: PostmanItem['request']): string {
  return `${method} /${url.path.map((segment) => segment.replace(/^:(.*)$/, '{$1}')).join('/')}`;
}

describe('the kept Postman collection', () => {
  it('has every route of the OpenAPI document once, and nothing else', () => {
    const routes = operationsOf(document).map(([name]) => name);
    const requests = requestsOf(kept).map(nameOf);
    const missing = routes.filter((name) => !requests.includes(name));
    const strange = requests.filter((name, at) => !routes.includes(name) || requests.indexOf(name) !== at);
    expect({ STALE, missing, strange }).toEqual({ STALE, missing: [], strange: [] });
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
      if (request.body !== undefined) expect([name, JSON.parse(request.body.raw)]).toEqual([name, expect.anything()]);
    }
  });

  it('sends the key where one is needed, and nowhere else', () => {
    const operations = new Map(operationsOf(document));
    for (const request of requestsOf(kept)) {
      const isFree = operations.get(nameOf(request))?.security === undefined;
      expect([nameOf(request), request.auth]).toEqual([nameOf(request), isFree ? { type: 'noauth' } : undefined]);
    }
  });
});
