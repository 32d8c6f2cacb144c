import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { TestApi, type Reply, type TestProject } from '../harness/api.js';
import { address, kindOf, pagesFrom, places, type BatchBody, type PageBody, type ProblemBody } from './wire.js';

type View = Record<string, string>;
type Members = Record<string, unknown>;

const DATA =
  '[{"key":"type","value":"shoe"},{"key":"price","value":12345678901234567890.10},{"key":"tag","value":"new"},' +
  '{"key":"2","value":true},{"key":"tag","value":null},{"key":"a,\\"b\\"","value":0.1000},{"key":"__proto__","value":1},' +
  '{"key":"owner.city","value":"x"}]';
const AS_OBJECT =
  '{"type":"shoe","price":12345678901234567890.10,"tag":["new",null],"2":true,"a,\\"b\\"":0.1000,"__proto__":1,"owner.city":"x"}';

let api: TestApi;
let project: TestProject;

beforeAll(async () => {
  api = await TestApi.shared();
  project = await api.project();
  const { producer: key } = project.keys;
  const one = `{"object_id":"one","subject":"shelf","observed_at":"2024-05-01T00:00:00Z","data":${DATA}}`;
  const reply = await api.call('POST', '/batches', {
    key,
    body: `{"batch_id":"b","objects":[${one},{"object_id":"two","data":[]}]}`,
  });
  if (reply.status !== 201) throw new Error(reply.text);
  const objects = Array.from({ length: 1_005 }, (_, n) => ({ object_id: `n${String(n)}`, data: { n, m: n } }));
  await api.call('POST', '/batches', { key, body: { batch_id: 'large', objects } });
});
afterAll(() => api.stop());

const get = (path: string, view: View = {}, headers = {}): Promise<Reply> =>
  api.call('GET', Object.keys(view).length === 0 ? path : address(path, view), { key: project.keys.analyst, headers });

/** The text of the first object of a response, without spaces between tokens. */
const textOf = (reply: Reply): string => reply.text.replaceAll(/(?<=[:,]) /g, '');

/** Every read of objects: how to request it, and the first object of its response. */
const READS: [string, (view: View) => Promise<Reply>, (reply: Reply) => Members | undefined][] = [
  ['GET /objects/{object_id}', (view) => get('/objects/one', view), (reply) => reply.json<Members>()],
  [
    'GET /objects',
    (view) => get('/objects', { subject: 'shelf', ...view }),
    (reply) => reply.json<PageBody<Members>>().results[0],
  ],
  [
    'GET /batches/{batch_id}',
    (view) => get('/batches/b', view),
    (reply) => reply.json<{ objects: Members[] }>().objects[0],
  ],
  [
    'GET /batches?include=objects',
    (view) => get('/batches', { batch_id: 'b', include: 'objects', ...view }),
    (reply) => reply.json<PageBody<{ objects: Members[] }>>().results[0]?.objects[0],
  ],
];

describe.each(READS)('%s', (_, read, objectOf) => {
  it('returns data as a plain object, with a list for a repeated key and every digit', async () => {
    const reply = await read({ data_as: 'object' });
    expect([reply.status, textOf(reply)]).toEqual([200, expect.stringContaining(`"data":${AS_OBJECT}`)]);
  });

  it('returns data as pairs by default and with data_as=pairs', async () => {
    for (const view of [{}, { data_as: 'pairs' }]) {
      expect(textOf(await read(view))).toContain(`"data":${DATA}`);
    }
  });

  it('returns the members and keys that fields names, in the order of the object', async () => {
    const reply = await read({ fields: 'data.tag,object_id,data.none,data.type' });
    expect(Object.keys(objectOf(reply) ?? {}).sort()).toEqual(['data', 'object_id']);
    expect(textOf(reply)).toContain(
      '"data":[{"key":"type","value":"shoe"},{"key":"tag","value":"new"},{"key":"tag","value":null}]',
    );
    const asObject = await read({ fields: 'data.tag,data.type', data_as: 'object' });
    expect(objectOf(asObject)).toEqual({ data: { type: 'shoe', tag: ['new', null] } });
  });

  it.each([
    ['subject,observed_at', { subject: 'shelf', observed_at: '2024-05-01T00:00:00Z' }],
    ['object_id', { object_id: 'one' }],
    ['data.none', { data: [] }],
    ['data."a,\\"b\\""', { data: [{ key: 'a,"b"', value: 0.1 }] }],
    [
      'data."a,\\"b\\"",data.2',
      {
        data: [
          { key: '2', value: true },
          { key: 'a,"b"', value: 0.1 },
        ],
      },
    ],
    ['data.owner.city', { data: [{ key: 'owner.city', value: 'x' }] }],
    ['data.__proto__', { data: [{ key: '__proto__', value: 1 }] }],
  ])('returns only fields=%s', async (fields, expected) => {
    expect(objectOf(await read({ fields }))).toEqual(expected);
  });

  it('returns all data where fields names data and a key of it', async () => {
    expect(textOf(await read({ fields: 'data.tag,data' }))).toContain(`{"data":${DATA}}`);
  });

  it.each([
    ['fields', 'colour', '"colour" must be one of'],
    ['fields', 'object_id,', '"" must be one of'],
    ['fields', ',object_id', '"" must be one of'],
    ['fields', 'Object_id', '"Object_id" must be one of'],
    ['fields', '', 'must be 1 to'],
    ['fields', 'data.', 'must have keys of 1 to 255 characters; got 0'],
    ['fields', `data.${'x'.repeat(256)}`, 'must have keys of 1 to 255 characters; got 256'],
    ['fields', 'data."a', 'is not a JSON string'],
    ['fields', 'data."a"b', 'is not a JSON string'],
    ['fields', 'object_id,'.repeat(100) + 'data', 'must have at most 100 fields; got 101'],
    ['data_as', 'list', 'must be one of pairs, object'],
    ['field', 'object_id', 'is not a parameter of this resource'],
  ])('rejects %s=%s', async (parameter, value, detail) => {
    const reply = await read({ [parameter]: value });
    expect([kindOf(reply), places(reply)]).toEqual(['400 invalid-query', [parameter]]);
    expect(reply.json<ProblemBody>().errors?.[0]?.detail).toContain(detail);
  });

  it('gives each representation its own ETag, which If-None-Match matches', async () => {
    const views: View[] = [{}, { data_as: 'object' }, { fields: 'object_id' }, { fields: 'data.tag' }];
    const tags = new Set<string>();
    for (const view of views) {
      const etag = (await read(view)).headers.get('etag') ?? '';
      expect(etag).toMatch(/^"[\w-]+"$/);
      tags.add(etag);
      expect((await read(view)).headers.get('etag')).toBe(etag);
    }
    expect(tags.size).toBe(views.length);
  });
});

describe('an ETag of a selected representation', () => {
  it.each(['/objects/one', '/batches/b'])('of %s is 304 for itself, and no If-Match of a change', async (path) => {
    const view = { data_as: 'object' };
    const etag = (await get(path, view)).headers.get('etag') ?? '';
    expect((await get(path, view, { 'If-None-Match': etag })).status).toBe(304);
    expect((await get(path, {}, { 'If-None-Match': etag })).status).toBe(200);
    const removed = await api.call('DELETE', `${path}?cascade=true`.replace(/^(\/objects.*)\?.*/, '$1'), {
      key: project.keys.admin,
      headers: { 'If-Match': etag },
    });
    expect(kindOf(removed)).toBe('412 precondition-failed');
  });
});

describe('nested objects', () => {
  it('have no batch_id to select', async () => {
    const reply = await get('/batches/b', { fields: 'batch_id' });
    expect([kindOf(reply), places(reply)]).toEqual(['400 invalid-query', ['fields']]);
  });

  it('are streamed in a view from a large batch', async () => {
    const reply = await get('/batches/large', { fields: 'data.n', data_as: 'object' });
    const { objects } = reply.json<{ objects: Members[] }>();
    expect(objects).toEqual(Array.from({ length: 1_005 }, (_, n) => ({ data: { n } })));
  });

  it('are required for a view of a list of batches', async () => {
    const reply = await get('/batches', { fields: 'object_id', data_as: 'object' });
    expect([kindOf(reply), places(reply)]).toEqual(['400 invalid-query', ['fields', 'data_as']]);
  });

  it('are continued in the same view by objects_next', async () => {
    const view = { fields: 'object_id,data.n', data_as: 'object' };
    const list = await get('/batches', { batch_id: 'large', include: 'objects', ...view });
    const [batch] = list.json<PageBody<BatchBody>>().results;
    const next = await get(batch?.objects_next ?? '');
    expect(next.json<PageBody<Members>>().results[0]).toEqual({ object_id: 'n1000', data: { n: 1_000 } });
  });
});

describe('the pages of a list', () => {
  it('keep fields and data_as in next', async () => {
    const start = address('/objects', { batch_id: 'large', page_size: '400', fields: 'data.n', data_as: 'object' });
    const pages = await pagesFrom<Members>(api, project.keys.analyst, start);
    expect(pages.map(({ results }) => results.length)).toEqual([400, 400, 205]);
    expect(pages.flatMap(({ results }) => results)).toEqual(
      Array.from({ length: 1_005 }, (_, n) => ({ data: { n: 1_004 - n } })),
    );
  });
});
