import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { TestApi, type Reply } from '../harness/api.js';
import { dataOf, ObjectClient } from './object-client.js';
import { kindOf, places, type ObjectBody } from './wire.js';

let api: TestApi;
let client: ObjectClient;

beforeAll(async () => {
  api = await TestApi.shared();
  client = await ObjectClient.create(api, 'application/merge-patch+json');
});
afterAll(() => api.stop());

describe('PATCH /objects/{object_id} by a producer', () => {
  it.each([
    ['an empty patch', '{}'],
    ['a patch of one key', '{"data":{"b":2}}'],
    ['a patch that contains the ids', '{"object_id":"ID","batch_id":"shoes"}'],
  ])('returns only ids, time and ETag for %s', async (_, body) => {
    const id = await client.createObject('{"secret":"value"}', ',"subject":"secret subject"');
    const reply = await client.patch(id, body.replace('ID', id), {}, client.project.keys.producer);
    const stored = await client.read(id);
    const { observed_at } = stored.json<ObjectBody>();
    expect([reply.status, reply.json()]).toEqual([200, { object_id: id, batch_id: 'shoes', observed_at }]);
    expect(reply.headers.get('etag')).toBe(stored.headers.get('etag'));
  });

  it('returns no data when the request is rejected', async () => {
    const id = await client.createObject('{"secret":"value"}');
    for (const headers of [{ 'If-Match': '"other"' }, { 'If-None-Match': '*' }]) {
      const reply = await client.patch(id, '{}', headers, client.project.keys.producer);
      expect([kindOf(reply), reply.text.includes('secret')]).toEqual(['412 precondition-failed', false]);
    }
  });
});

describe('PATCH /objects/{object_id}', () => {
  it.each([
    ['replaces the value of a key in its position', '{"a":1,"b":2,"c":3}', '{"b":9}', 'a:1 b:9 c:3'],
    ['adds a new key at the end', '{"a":1}', '{"z":1,"b":2}', 'a:1 z:1 b:2'],
    ['removes a key by null', '{"a":1,"b":2,"c":3}', '{"b":null}', 'a:1 c:3'],
    ['ignores null for a missing key', '{"a":1}', '{"b":null}', 'a:1'],
    ['keeps repeated keys that the patch does not name', '{"a":1,"b":2,"a":3}', '{"c":4}', 'a:1 b:2 a:3 c:4'],
    ['sets a repeated key once, at its first position', '{"x":0,"a":1,"b":2,"a":3}', '{"a":7}', 'x:0 a:7 b:2'],
    ['removes every occurrence of a key', '{"a":1,"b":2,"a":3}', '{"a":null}', 'b:2'],
    ['removes the only key', '{"a":1}', '{"a":null}', ''],
    ['sets, adds and removes at once', '{"a":1,"b":2}', '{"c":3,"a":null,"b":"x"}', 'b:"x" c:3'],
    ['keeps a null value of a key that it does not name', '{"a":null}', '{"b":1}', 'a:null b:1'],
    ['changes nothing for an empty object', '{"a":1}', '{}', 'a:1'],
    ['keeps every digit of keys that it does not name', '{"a":0.1000,"b":1}', '{"b":2}', 'a:0.1000 b:2'],
    ['stores every digit of a new value', '{"a":1}', '{"a":12345678901234567890.10}', 'a:12345678901234567890.10'],
    ['changes the type of a value', '{"a":1}', '{"a":"1"}', 'a:"1"'],
    [
      'replaces all pairs with a list',
      '{"a":1,"b":2}',
      '[{"value":3,"key":"b"},{"key":"b","value":null}]',
      'b:3 b:null',
    ],
    ['removes all pairs for an empty list', '{"a":1}', '[]', ''],
    ['compares keys after unescaping', '{"\\u0061":1,"b":2}', '{"a":2,"\\u0062":null}', 'a:2'],
    [
      'accepts `__proto__` and `constructor` as keys',
      '{"__proto__":1}',
      '{"constructor":2}',
      '__proto__:1 constructor:2',
    ],
    ['does not sort numeric keys', '{"2":1,"1":2}', '{"0":3}', '2:1 1:2 0:3'],
  ])('%s', async (_, data, change, expected) => {
    const id = await client.createObject(data);
    const reply = await client.patch(id, `{"data":${change}}`);
    expect(reply.status).toBe(200);
    const pairs = expected
      .split(' ')
      .filter((pair) => pair !== '')
      .map((pair) => pair.split(/:(.*)/))
      .map(([key = '', value = '']) => `{"key":"${key}","value":${value}}`);
    expect(dataOf(reply)).toBe(`[${pairs.join()}]`);
    expect((await client.read(id)).text).toBe(reply.text);
    expect(reply.headers.get('etag')).toBe((await client.read(id)).headers.get('etag'));
  });

  it('changes only the subject or the time, and resets them for null', async () => {
    const id = await client.createObject('{"a":1}', ',"subject":"shelf","observed_at":"2024-05-01T00:00:00.5Z"');
    const before = (await client.read(id)).json<ObjectBody>();
    const arrived = (await client.patch(id, { observed_at: null })).json<ObjectBody>();
    expect(arrived).toEqual({ ...before, observed_at: expect.not.stringMatching(/^2024-05-01/) as unknown });
    expect((await client.patch(id, { observed_at: before.observed_at })).json()).toEqual(before);
    expect((await client.patch(id, { subject: null })).json()).toEqual({ ...before, subject: null });
    expect((await client.patch(id, { subject: 'till' })).json()).toEqual({ ...before, subject: 'till' });
    expect((await client.patch(id, {})).json()).toEqual({ ...before, subject: 'till' });
  });

  it('resets the time to the arrival of the object, not to the time of the patch', async () => {
    const id = await client.createObject('{}');
    const before = (await client.read(id)).text;
    await client.patch(id, { observed_at: '2024-05-01T00:00:00Z' });
    expect((await client.patch(id, { observed_at: null })).text).toBe(before);
  });

  it('accepts unchanged ids, and rejects others', async () => {
    const id = await client.createObject('{}');
    expect((await client.patch(id, { object_id: id, batch_id: 'shoes' })).status).toBe(200);
    expect(places(await client.patch(id, { object_id: 'other' }))).toEqual(['/object_id']);
    expect(places(await client.patch(id, { batch_id: 'other' }))).toEqual(['/batch_id']);
  });

  it.each([
    ['data null', { data: null }, '/data'],
    ['data that is a string', { data: 'x' }, '/data'],
    ['a value nested too deep', `{"data":{"a":${'['.repeat(17)}${']'.repeat(17)}}}`, '/data/a'],
    ['a key given twice', '{"data":{"a":2,"a":3}}', '/data/a'],
    ['a key given twice, once escaped and null', '{"data":{"a":2,"\\u0061":null}}', '/data/a'],
    ['a pair without a value', { data: [{ key: 'a' }] }, '/data/0/value'],
    ['an invalid time', { observed_at: '2024-02-30T00:00:00Z' }, '/observed_at'],
    ['a null id', { object_id: null }, '/object_id'],
    ['an unknown member', { colour: 1 }, '/colour'],
  ])('rejects %s, and changes nothing', async (_, body, pointer) => {
    const id = await client.createObject('{"a":1}');
    const before = (await client.read(id)).text;
    const reply = await client.patch(id, body);
    expect([kindOf(reply), ...places(reply)]).toEqual(['400 invalid-body', pointer]);
    expect((await client.read(id)).text).toBe(before);
  });

  it.each(['application/json', 'application/json5', 'text/plain'])(
    'rejects the media type %s, and returns the accepted ones in Accept-Patch',
    async (type) => {
      const id = await client.createObject('{}');
      const reply = await client.patch(id, { data: { a: 1 } }, { 'Content-Type': type });
      expect(kindOf(reply)).toBe('415 unsupported-media-type');
      expect(reply.headers.get('accept-patch')).toBe('application/merge-patch+json, application/json-patch+json');
      expect(dataOf(await client.read(id))).toBe('[]');
    },
  );

  it('accepts one of two concurrent patches with the same If-Match', async () => {
    for (let round = 0; round < 5; round++) {
      const id = await client.createObject('{"a":0}');
      const headers = { 'If-Match': (await client.read(id)).headers.get('etag') ?? '' };
      const [one, two] = await Promise.all([
        client.patch(id, { data: { one: 1 } }, headers),
        client.patch(id, { data: { two: 2 } }, headers),
      ]);
      expect([one.status, two.status].sort()).toEqual([200, 412]);
      const winner = one.status === 200 ? one : two;
      expect((await client.read(id)).text).toBe(winner.text);
    }
  });

  it('applies all of 20 concurrent patches', async () => {
    const id = await client.createObject('{}');
    const names = Array.from({ length: 20 }, (_, i) => `k${String(i)}`);
    const replies = await Promise.all(names.map((name) => client.patch(id, { data: { [name]: true } })));
    expect(new Set(replies.map((reply) => reply.status))).toEqual(new Set([200]));
    const { data } = (await client.read(id)).json<ObjectBody>();
    expect(data.map((pair) => pair.key).sort()).toEqual(names.sort());
  });

  it("returns 404 for a missing object and for another project's object", async () => {
    expect(kindOf(await client.patch('never', { data: {} }))).toBe('404 not-found');
    const other = await api.project();
    const id = await client.createObject('{}');
    const reply = await api.call('PATCH', `/objects/${id}`, {
      key: other.keys.admin,
      body: { data: { a: 1 } },
      headers: { 'Content-Type': 'application/merge-patch+json' },
    });
    expect(kindOf(reply)).toBe('404 not-found');
    expect(dataOf(await client.read(id))).toBe('[]');
  });

  it('rejects a patch that makes the data of the object larger than 4 MiB', async () => {
    const id = await client.createObject('{}');
    const addNote = (name: string): Promise<Reply> =>
      client.patch(id, { data: { [name]: 'x'.repeat(1024 ** 2 - 100) } });
    for (const name of ['a', 'b', 'c']) expect((await addNote(name)).status).toBe(200);
    const fourth = await addNote('d');
    expect([fourth.status, kindOf(await addNote('e'))]).toEqual([200, '413 too-large']);
    expect((await client.read(id)).json<ObjectBody>().data).toHaveLength(4);
  });
});
