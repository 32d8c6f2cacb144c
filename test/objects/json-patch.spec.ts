import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { TestApi } from '../harness/api.js';
import { dataOf, ObjectClient } from './object-client.js';
import { kindOf, places, type ObjectBody, type ProblemBody } from './wire.js';

let api: TestApi;
let client: ObjectClient;

beforeAll(async () => {
  api = await TestApi.shared();
  client = await ObjectClient.create(api, 'application/json-patch+json');
});
afterAll(() => api.stop());

const replace = (value: unknown, path = '/data/0/value'): object[] => [{ op: 'replace', path, value }];

describe('PATCH /objects/{object_id} with a JSON Patch', () => {
  it('changes the object as it is read, and returns it with its ETag', async () => {
    const id = await client.createObject('{"a":0.1000,"b":2}', ',"subject":"shelf"');
    const before = (await client.read(id)).json<ObjectBody>();
    const operations = [
      { op: 'test', path: '/data/0/value', value: 0.1 },
      { op: 'add', path: '/data/1', value: { key: 'new', value: 1 } },
      { op: 'move', from: '/data/2', path: '/data/0' },
      { op: 'copy', from: '/subject', path: '/data/1/key' },
      { op: 'remove', path: '/subject' },
    ];
    const reply = await client.patch(id, operations);
    expect([reply.status, reply.text]).toEqual([200, (await client.read(id)).text]);
    expect(reply.headers.get('etag')).toBe((await client.read(id)).headers.get('etag'));
    expect(dataOf(reply)).toBe('[{"key":"b","value":2},{"key":"shelf","value":0.1000},{"key":"new","value":1}]');
    expect(reply.json()).toMatchObject({ subject: null, observed_at: before.observed_at });
  });

  it('keeps every digit of numbers that it moves or sets', async () => {
    const id = await client.createObject('{"a":12345678901234567890.10}');
    const body =
      '[{"op":"add","path":"/data/-","value":{"key":"b","value":0.1000}},{"op":"move","from":"/data/0","path":"/data/1"}]';
    expect(dataOf(await client.patch(id, body))).toBe(
      '[{"key":"b","value":0.1000},{"key":"a","value":12345678901234567890.10}]',
    );
  });

  it('changes nested values', async () => {
    const id = await client.createObject('{"owner":{"cities":["Rome"],"__proto__":1.0}}');
    const operations = [
      { op: 'add', path: '/data/0/value/cities/-', value: 'Lisbon' },
      { op: 'move', from: '/data/0/value/__proto__', path: '/data/0/value/constructor' },
    ];
    const { data } = (await client.patch(id, operations)).json<ObjectBody>();
    expect(data).toEqual([{ key: 'owner', value: { cities: ['Rome', 'Lisbon'], constructor: 1 } }]);
    const deep = JSON.parse(`${'['.repeat(16)}${']'.repeat(16)}`) as unknown;
    const reply = await client.patch(id, [{ op: 'add', path: '/data/0/value/cities/-', value: deep }]);
    expect([kindOf(reply), places(reply)]).toEqual(['400 invalid-body', ['/data/0/value']]);
  });

  it('accepts data in shorthand, and a whole object', async () => {
    const id = await client.createObject('{"a":1}');
    expect(dataOf(await client.patch(id, replace({ b: 2 }, '/data')))).toBe('[{"key":"b","value":2}]');
    const whole = { object_id: id, batch_id: 'shoes', data: { c: 3 } };
    expect(dataOf(await client.patch(id, replace(whole, '')))).toBe('[{"key":"c","value":3}]');
  });

  it('changes nothing for an empty patch, nor for one that only tests', async () => {
    const id = await client.createObject('{"a":1.0}');
    const before = (await client.read(id)).text;
    for (const body of ['[]', '[{"op":"test","path":"/data/0/value","value":1}]']) {
      expect((await client.patch(id, body)).text).toBe(before);
    }
  });

  it.each([
    ['does not store data again for a patch of another member', replace('shelf', '/subject'), false],
    ['does not store data again where it is only read', [{ op: 'copy', from: '/data/0/key', path: '/subject' }], false],
    ['stores data that changes', replace(2), true],
  ])('%s', async (_, operations, isStored) => {
    const id = await client.createObject('{"a":1}');
    // `bytes` is written together with the data, and with the index.
    const values = [client.project.projectId, id];
    await api.db.sql('UPDATE objects SET bytes = 999 WHERE project_id = $1 AND object_id = $2', values);
    const size = 'SELECT bytes <> 999 AS stored FROM objects WHERE project_id = $1 AND object_id = $2';
    expect((await client.patch(id, operations)).status).toBe(200);
    expect(await api.db.sql(size, values)).toEqual([{ stored: isStored }]);
  });

  it('sets the time to that of the arrival where observed_at is removed', async () => {
    const id = await client.createObject('{}');
    const before = (await client.read(id)).text;
    await client.patch(id, replace('2024-05-01T00:00:00Z', '/observed_at'));
    expect((await client.patch(id, [{ op: 'remove', path: '/observed_at' }])).text).toBe(before);
  });

  it.each([
    ['a test that fails', [...replace(2), { op: 'test', path: '/data/0/value', value: 1 }], '/1'],
    ['a path that does not exist', [{ op: 'remove', path: '/data/1' }], '/0/path'],
    [
      'a value that would nest too deep',
      [{ op: 'add', path: '/data'.repeat(50), value: JSON.parse(`${'['.repeat(15)}${']'.repeat(15)}`) as unknown }],
      '/0/path',
    ],
    ['a source that does not exist', [{ op: 'copy', from: '/data/1', path: '/data/-' }], '/0/from'],
  ])('returns 409 for %s, and changes nothing', async (_, operations, pointer) => {
    const id = await client.createObject('{"a":1}');
    const before = (await client.read(id)).text;
    const reply = await client.patch(id, operations);
    expect([kindOf(reply), places(reply)]).toEqual(['409 conflict', [pointer]]);
    expect((await client.read(id)).text).toBe(before);
  });

  it.each([
    ['a patch that is no list', {}, ['']],
    [
      'several invalid operations',
      [{ op: 'toString', path: '' }, { op: 'add', path: 'a' }, 7],
      ['/0/op', '/1/path', '/1/value', '/2'],
    ],
    ['a value that cannot be stored', '[{"op":"add","path":"/subject","value":"\\u0000"}]', ['/0/value']],
    ['another object_id', replace('other', '/object_id'), ['/object_id']],
    ['another batch_id', replace('other', '/batch_id'), ['/batch_id']],
    ['a removed object_id', [{ op: 'remove', path: '/object_id' }], ['/object_id']],
    ['an unknown member', [{ op: 'add', path: '/colour', value: 1 }], ['/colour']],
    ['a pair without a value', [{ op: 'remove', path: '/data/0/value' }], ['/data/0/value']],
    ['an invalid time', replace('yesterday', '/observed_at'), ['/observed_at']],
    ['a whole object that is a list', replace([], ''), ['']],
  ])('returns 400 for %s, and changes nothing', async (_, operations, pointers) => {
    const id = await client.createObject('{"a":1}');
    const before = (await client.read(id)).text;
    const reply = await client.patch(id, operations);
    expect([kindOf(reply), places(reply)]).toEqual(['400 invalid-body', pointers]);
    expect((await client.read(id)).text).toBe(before);
  });

  it('says that a pointer leads into the patched object', async () => {
    const id = await client.createObject('{"a":1}');
    const { detail } = (await client.patch(id, replace('yesterday', '/observed_at'))).json<ProblemBody>();
    expect(detail).toMatch(/^The patched object is not valid: \/observed_at must be a time/);
  });

  it('checks If-Match before it applies the patch', async () => {
    const id = await client.createObject('{"a":1}');
    const operations = [{ op: 'test', path: '/data/0/value', value: 2 }];
    expect(kindOf(await client.patch(id, operations, { 'If-Match': '"other"' }))).toBe('412 precondition-failed');
    const etag = (await client.read(id)).headers.get('etag') ?? '';
    expect((await client.patch(id, replace(2), { 'If-Match': etag })).status).toBe(200);
    expect(kindOf(await client.patch(id, replace(3), { 'If-Match': etag }))).toBe('412 precondition-failed');
  });

  it('returns 404 for a missing object', async () => {
    expect(kindOf(await client.patch('never', replace(1)))).toBe('404 not-found');
  });

  it('applies all of 20 concurrent patches', async () => {
    const id = await client.createObject('[]');
    const values = Array.from({ length: 20 }, (_, value) => value);
    const replies = await Promise.all(
      values.map((value) => client.patch(id, [{ op: 'add', path: '/data/-', value: { key: 'k', value } }])),
    );
    expect(new Set(replies.map(({ status }) => status))).toEqual(new Set([200]));
    const { data } = (await client.read(id)).json<ObjectBody>();
    expect(data.map(({ value }) => Number(value)).sort((a, b) => a - b)).toEqual(values);
  });
});

describe('the limits of a JSON Patch', () => {
  it('are patch_operations_max operations, as GET /limits returns it', async () => {
    const { patch_operations_max } = (await api.call('GET', '/limits')).json<{ patch_operations_max: number }>();
    const id = await client.createObject('{"n":0}');
    const operations = Array.from({ length: patch_operations_max }, (_, n) => replace(n)).flat();
    expect((await client.patch(id, operations)).status).toBe(200);
    const reply = await client.patch(id, [...operations, ...replace('more')]);
    expect([kindOf(reply), reply.json<ProblemBody>().detail]).toEqual([
      '413 too-large',
      expect.stringContaining('patch_operations_max'),
    ]);
    expect(dataOf(await client.read(id))).toBe(`[{"key":"n","value":${String(patch_operations_max - 1)}}]`);
  });

  it.each([
    [
      'copies of the data',
      '{"op":"add","path":"/data/-","value":{"key":"x","value":"0123456789"}}',
      '{"op":"copy","from":"/data","path":"/subject"}',
    ],
    [
      'copies of a number with an exponent',
      '{"op":"add","path":"/data/-","value":{"key":"n","value":1e131071}}',
      '{"op":"copy","from":"/data/1","path":"/data/-"}',
    ],
  ])('keep data below 4 MiB in spite of %s', async (_, first, copy) => {
    const id = await client.createObject(`{"x":"${'y'.repeat(100_000)}"}`);
    const reply = await client.patch(id, `[${first},${Array.from({ length: 60 }, () => copy).join()}]`);
    expect([kindOf(reply), reply.json<ProblemBody>().detail]).toEqual([
      '413 too-large',
      expect.stringContaining('patched_data_limit_bytes (4194304)'),
    ]);
  });
});

describe('a JSON Patch by a producer', () => {
  it('may add pairs and change other members, and returns no data', async () => {
    const id = await client.createObject('{"secret":"value"}', ',"subject":"secret subject"');
    const operations = [
      { op: 'remove', path: '/subject' },
      { op: 'add', path: '/data/-', value: { key: 'a', value: 1 } },
      ...replace('2024-05-01T00:00:00Z', '/observed_at'),
    ];
    const reply = await client.patch(id, operations, {}, client.project.keys.producer);
    const { observed_at } = (await client.read(id)).json<ObjectBody>();
    expect([reply.status, reply.json()]).toEqual([200, { object_id: id, batch_id: 'shoes', observed_at }]);
    expect(dataOf(await client.read(id))).toBe('[{"key":"secret","value":"value"},{"key":"a","value":1}]');
  });

  it('may replace the whole object', async () => {
    const id = await client.createObject('{"secret":"value"}');
    const whole = { object_id: id, batch_id: 'shoes', data: { c: 3 } };
    expect((await client.patch(id, replace(whole, ''), {}, client.project.keys.producer)).status).toBe(200);
    expect(dataOf(await client.read(id))).toBe('[{"key":"c","value":3}]');
  });

  it.each([
    ['add before a pair', { op: 'add', path: '/data/1', value: { key: 'a', value: 1 } }],
    ['add to a value', { op: 'add', path: '/data/0/value/x', value: 1 }],
    ['add below a new pair', { op: 'add', path: '/data/-/value', value: 1 }],
    ['replace data', ...replace({}, '/data')],
    ['replace a value', ...replace(1)],
    ['remove data', { op: 'remove', path: '/data' }],
    ['remove a pair', { op: 'remove', path: '/data/1' }],
    ['replace the end of data', ...replace(1, '/data/-')],
  ])('may not %s, whose success depends on stored data', async (_, operation) => {
    for (const data of ['{}', '{"a":{},"b":[1]}']) {
      const id = await client.createObject(data);
      const reply = await client.patch(id, [...replace(null, '/subject'), operation], {}, client.project.keys.producer);
      expect([kindOf(reply), places(reply)]).toEqual(['403 forbidden', ['/1/path']]);
    }
  });

  it.each([
    [
      'an added pair without a key',
      { op: 'add', path: '/data/-', value: { value: 1 } },
      '400 invalid-body',
      '/0/value/key',
    ],
    ['an added pair that is a list', { op: 'add', path: '/data/-', value: [] }, '400 invalid-body', '/0/value'],
    ['a member of the subject', { op: 'remove', path: '/subject/x' }, '409 conflict', '/0/path'],
    ['a member of the time', { op: 'add', path: '/observed_at/-', value: 1 }, '409 conflict', '/0/path'],
  ])('returns the same for %s, whatever is stored', async (_, operation, kind, place) => {
    const replies: unknown[] = [];
    for (const rest of ['', ',"subject":"shelf"']) {
      for (const data of ['{}', '{"a":{},"b":[1]}']) {
        const reply = await client.patch(
          await client.createObject(data, rest),
          [operation],
          {},
          client.project.keys.producer,
        );
        const { detail, errors } = reply.json<ProblemBody>();
        replies.push({ kind: kindOf(reply), detail, errors });
        expect([kindOf(reply), places(reply)]).toEqual([kind, [place]]);
      }
    }
    expect(new Set(replies.map((reply) => JSON.stringify(reply))).size).toBe(1);
  });

  it('removes a subject of null like any other', async () => {
    const id = await client.createObject('{}');
    expect(
      (await client.patch(id, [{ op: 'remove', path: '/subject' }], {}, client.project.keys.producer)).status,
    ).toBe(200);
  });

  // A copy to observed_at would be part of the response, and a test would confirm a guess.
  it.each([
    ['test', { op: 'test', path: '/data/0/value', value: 'value' }],
    ['copy', { op: 'copy', from: '/data/0/value', path: '/observed_at' }],
    ['move', { op: 'move', from: '/data/0/value', path: '/observed_at' }],
  ])('may not use %s, which would reveal stored data', async (_, operation) => {
    const id = await client.createObject('{"secret":"2024-05-01T00:00:00Z"}');
    const before = (await client.read(id)).text;
    const reply = await client.patch(id, [...replace(null, '/subject'), operation], {}, client.project.keys.producer);
    expect([kindOf(reply), places(reply)]).toEqual(['403 forbidden', ['/1/op']]);
    expect((await client.read(id)).text).toBe(before);
  });
});
