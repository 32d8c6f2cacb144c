import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { TestApi, type Reply, type TestProject } from '../harness/api.js';
import { kindOf, places, postBatch, type ObjectBody } from './wire.js';

let api: TestApi;
let project: TestProject;

beforeAll(async () => {
  api = await TestApi.shared();
  project = await api.project();
  await postBatch(api, project.keys.producer, 'shoes', []);
});
afterAll(() => api.stop());

let made = 0;

/** A new object's id; `data` is JSON text. */
async function objectWith(data: string, rest = ''): Promise<string> {
  const id = `object-${String(made++)}`;
  const body = `{"batch_id":"shoes","object_id":"${id}","data":${data}${rest}}`;
  const reply = await api.call('POST', '/objects', { key: project.keys.producer, body });
  if (reply.status !== 201) throw new Error(reply.text);
  return id;
}

const patch = (id: string, body: unknown, headers = {}, key = project.keys.admin): Promise<Reply> =>
  api.call('PATCH', `/objects/${id}`, {
    key,
    body,
    headers: { 'Content-Type': 'application/merge-patch+json', ...headers },
  });
const read = (id: string): Promise<Reply> => api.call('GET', `/objects/${id}`, { key: project.keys.analyst });

/** The `data` of an answer to the letter, without the spaces. */
const dataOf = (reply: Reply): string =>
  (/"data":(.*)\}$/.exec(reply.text)?.[1] ?? reply.text).replaceAll(/(?<=[:,]) /g, '');

describe('PATCH /objects/{object_id} by a producer', () => {
  it.each([
    ['an empty patch', '{}'],
    ['a patch of one key', '{"data":{"b":2}}'],
    ['a patch that contains the ids', '{"object_id":"ID","batch_id":"shoes"}'],
  ])('returns only ids, time and ETag for %s', async (_, body) => {
    const id = await objectWith('{"secret":"value"}', ',"subject":"secret subject"');
    const reply = await patch(id, body.replace('ID', id), {}, project.keys.producer);
    const stored = await read(id);
    const { observed_at } = stored.json<ObjectBody>();
    expect([reply.status, reply.json()]).toEqual([200, { object_id: id, batch_id: 'shoes', observed_at }]);
    expect(reply.headers.get('etag')).toBe(stored.headers.get('etag'));
  });

  it('returns no data when it is refused', async () => {
    const id = await objectWith('{"secret":"value"}');
    for (const headers of [{ 'If-Match': '"other"' }, { 'If-None-Match': '*' }]) {
      const reply = await patch(id, '{}', headers, project.keys.producer);
      expect([kindOf(reply), reply.text.includes('secret')]).toEqual(['412 precondition-failed', false]);
    }
  });
});

describe('PATCH /objects/{object_id}', () => {
  it.each([
    ['sets a key in its place', '{"a":1,"b":2,"c":3}', '{"b":9}', 'a:1 b:9 c:3'],
    ['adds a new key at the end', '{"a":1}', '{"z":1,"b":2}', 'a:1 z:1 b:2'],
    ['removes a key by null', '{"a":1,"b":2,"c":3}', '{"b":null}', 'a:1 c:3'],
    ['ignores a null for a key that is not there', '{"a":1}', '{"b":null}', 'a:1'],
    ['keeps keys that repeat and are not named', '{"a":1,"b":2,"a":3}', '{"c":4}', 'a:1 b:2 a:3 c:4'],
    ['sets a key that repeats once, at its first place', '{"x":0,"a":1,"b":2,"a":3}', '{"a":7}', 'x:0 a:7 b:2'],
    ['removes every repeat of a key', '{"a":1,"b":2,"a":3}', '{"a":null}', 'b:2'],
    ['removes all', '{"a":1}', '{"a":null}', ''],
    ['sets, adds and removes at once', '{"a":1,"b":2}', '{"c":3,"a":null,"b":"x"}', 'b:"x" c:3'],
    ['keeps a null that it does not name', '{"a":null}', '{"b":1}', 'a:null b:1'],
    ['does nothing by an empty object', '{"a":1}', '{}', 'a:1'],
    ['keeps every digit that it does not name', '{"a":0.1000,"b":1}', '{"b":2}', 'a:0.1000 b:2'],
    ['keeps every digit that it sets', '{"a":1}', '{"a":12345678901234567890.10}', 'a:12345678901234567890.10'],
    ['changes the type', '{"a":1}', '{"a":"1"}', 'a:"1"'],
    ['replaces all pairs by a list', '{"a":1,"b":2}', '[{"value":3,"key":"b"},{"key":"b","value":null}]', 'b:3 b:null'],
    ['removes all pairs by an empty list', '{"a":1}', '[]', ''],
    ['takes the last of a key given twice', '{"a":1}', '{"a":2,"a":3}', 'a:3'],
    ['knows a key however it is escaped', '{"\\u0061":1,"b":2}', '{"a":2,"\\u0062":null}', 'a:2'],
    [
      'takes the names that JavaScript has for itself',
      '{"__proto__":1}',
      '{"constructor":2}',
      '__proto__:1 constructor:2',
    ],
    ['does not sort names that are numbers', '{"2":1,"1":2}', '{"0":3}', '2:1 1:2 0:3'],
  ])('%s', async (_, data, change, expected) => {
    const id = await objectWith(data);
    const reply = await patch(id, `{"data":${change}}`);
    expect(reply.status).toBe(200);
    const pairs = expected
      .split(' ')
      .filter((pair) => pair !== '')
      .map((pair) => pair.split(/:(.*)/))
      .map(([key = '', value = '']) => `{"key":"${key}","value":${value}}`);
    expect(dataOf(reply)).toBe(`[${pairs.join()}]`);
    expect((await read(id)).text).toBe(reply.text);
    expect(reply.headers.get('etag')).toBe((await read(id)).headers.get('etag'));
  });

  it('changes the subject and the time alone, and null resets them', async () => {
    const id = await objectWith('{"a":1}', ',"subject":"shelf","observed_at":"2024-05-01T00:00:00.5Z"');
    const before = (await read(id)).json<ObjectBody>();
    const arrived = (await patch(id, { observed_at: null })).json<ObjectBody>();
    expect(arrived).toEqual({ ...before, observed_at: expect.not.stringMatching(/^2024-05-01/) as unknown });
    expect((await patch(id, { observed_at: before.observed_at })).json()).toEqual(before);
    expect((await patch(id, { subject: null })).json()).toEqual({ ...before, subject: null });
    expect((await patch(id, { subject: 'till' })).json()).toEqual({ ...before, subject: 'till' });
    expect((await patch(id, {})).json()).toEqual({ ...before, subject: 'till' });
  });

  it('resets the time to when the object arrived, not to when it is patched', async () => {
    const id = await objectWith('{}');
    const before = (await read(id)).text;
    await patch(id, { observed_at: '2024-05-01T00:00:00Z' });
    expect((await patch(id, { observed_at: null })).text).toBe(before);
  });

  it('takes the ids as they are, and refuses others', async () => {
    const id = await objectWith('{}');
    expect((await patch(id, { object_id: id, batch_id: 'shoes' })).status).toBe(200);
    expect(places(await patch(id, { object_id: 'other' }))).toEqual(['/object_id']);
    expect(places(await patch(id, { batch_id: 'other' }))).toEqual(['/batch_id']);
  });

  it.each([
    ['data that is null', { data: null }, '/data'],
    ['data that is text', { data: 'x' }, '/data'],
    ['a value that is no scalar', { data: { a: {} } }, '/data/a'],
    ['a pair without a value', { data: [{ key: 'a' }] }, '/data/0/value'],
    ['a time that is none', { observed_at: '2024-02-30T00:00:00Z' }, '/observed_at'],
    ['an id that is null', { object_id: null }, '/object_id'],
    ['an unknown member', { colour: 1 }, '/colour'],
  ])('refuses %s, and changes nothing', async (_, body, pointer) => {
    const id = await objectWith('{"a":1}');
    const before = (await read(id)).text;
    const reply = await patch(id, body);
    expect([kindOf(reply), ...places(reply)]).toEqual(['400 invalid-body', pointer]);
    expect((await read(id)).text).toBe(before);
  });

  it.each(['application/json', 'application/json-patch+json', 'text/plain'])(
    'refuses a body that is %s, and says what it takes',
    async (type) => {
      const id = await objectWith('{}');
      const reply = await patch(id, { data: { a: 1 } }, { 'Content-Type': type });
      expect(kindOf(reply)).toBe('415 unsupported-media-type');
      expect(reply.headers.get('accept-patch')).toBe('application/merge-patch+json');
      expect(dataOf(await read(id))).toBe('[]');
    },
  );

  it('lets exactly one of two through that were made for the same state', async () => {
    for (let round = 0; round < 5; round++) {
      const id = await objectWith('{"a":0}');
      const headers = { 'If-Match': (await read(id)).headers.get('etag') ?? '' };
      const [one, two] = await Promise.all([
        patch(id, { data: { one: 1 } }, headers),
        patch(id, { data: { two: 2 } }, headers),
      ]);
      expect([one.status, two.status].sort()).toEqual([200, 412]);
      const winner = one.status === 200 ? one : two;
      expect((await read(id)).text).toBe(winner.text);
    }
  });

  it('loses none of 20 changes that come at once', async () => {
    const id = await objectWith('{}');
    const names = Array.from({ length: 20 }, (_, i) => `k${String(i)}`);
    const replies = await Promise.all(names.map((name) => patch(id, { data: { [name]: true } })));
    expect(new Set(replies.map((reply) => reply.status))).toEqual(new Set([200]));
    const { data } = (await read(id)).json<ObjectBody>();
    expect(data.map((pair) => pair.key).sort()).toEqual(names.sort());
  });

  it('says not found for an object that is not there, and for another project', async () => {
    expect(kindOf(await patch('never', { data: {} }))).toBe('404 not-found');
    const other = await api.project();
    const id = await objectWith('{}');
    const reply = await api.call('PATCH', `/objects/${id}`, {
      key: other.keys.admin,
      body: { data: { a: 1 } },
      headers: { 'Content-Type': 'application/merge-patch+json' },
    });
    expect(kindOf(reply)).toBe('404 not-found');
    expect(dataOf(await read(id))).toBe('[]');
  });

  it('lets no object grow over the limit of a body', async () => {
    const small = await TestApi.start({ BODY_LIMIT_BYTES: '2000' });
    try {
      const { keys } = await small.project();
      await postBatch(small, keys.producer, 'b', [{ object_id: 'o', data: { a: 'x'.repeat(1_000) } }]);
      const reply = await small.call('PATCH', '/objects/o', {
        key: keys.producer,
        body: { data: { b: 'x'.repeat(1_000) } },
        headers: { 'Content-Type': 'application/merge-patch+json' },
      });
      expect(kindOf(reply)).toBe('413 too-large');
      expect((await small.call('GET', '/objects/o', { key: keys.analyst })).json<ObjectBody>().data).toHaveLength(1);
    } finally {
      await small.stop();
    }
  });
});
