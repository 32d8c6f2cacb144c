import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { TestApi, type Reply, type TestProject } from '../harness/api.js';
import { expectProblem, placesOf } from './expect-problem.js';
import { RUN } from '../harness/run.js';

let api: TestApi;
let project: TestProject;

beforeAll(async () => {
  api = await TestApi.start({ BODY_LIMIT_BYTES: String(1024 * 1024) });
  project = await api.project();
  await api.call('POST', '/batches', { key: project.keys.admin, body: { batch_id: 'there', objects: [] } });
  const object = { batch_id: 'there', object_id: 'there', data: [] };
  await api.call('POST', '/objects', { key: project.keys.admin, body: object });
});
afterAll(() => api.stop());

const MERGE_PATCH = { 'Content-Type': 'application/merge-patch+json' };

function post(body: unknown): Promise<Reply> {
  return api.call('POST', '/batches', { key: project.keys.admin, body });
}

/** A batch of one object; `data` is JSON text. */
function withData(data: string, id = 'data'): string {
  return `{"batch_id":"${id}","objects":[{"object_id":"${id}","data":${data}}]}`;
}

/** Sends a body to every kind of route that accepts one; the object `there` exists. */
function toEveryRoute(body: string | Uint8Array): Promise<Reply[]> {
  const { admin: key } = project.keys;
  return Promise.all([
    api.call('POST', '/batches', { key, body }),
    api.call('POST', '/objects', { key, body }),
    api.call('PUT', '/objects/there', { key, body }),
    api.call('PATCH', '/objects/there', { key, body, headers: MERGE_PATCH }),
    api.call('POST', '/projects', { key: api.operatorKey, body }),
    api.call('POST', `/projects/${String(project.projectId)}/keys`, { key, body }),
  ]);
}

/** A value that is nested one level deeper than values may be. */
const tooDeep = `${'['.repeat(17)}${']'.repeat(17)}`;

describe('a body that is not JSON', () => {
  const json = '{"batch_id":"b","objects":[]}';

  it.each<[string, string | Uint8Array]>([
    ['an empty body', ''],
    ['only white space', ' \n'],
    ['truncated', json.slice(0, -1)],
    ['followed by more text', `${json}{}`],
    ['with a trailing comma', '{"batch_id":"b","objects":[],}'],
    ['with a comment', `${json}//`],
    ['with NaN', '{"batch_id":NaN}'],
    ['with a number with a leading zero', '{"batch_id":01}'],
    ['with an unescaped line break in a string', '{"batch_id":"a\nb"}'],
    ['a URL-encoded form', 'batch_id=b'],
    ['in UTF-16', Buffer.from(json, 'utf16le')],
    ['with an invalid byte in UTF-8', Buffer.from('{"batch_id":"\xff"}', 'latin1')],
    ['with half of a surrogate pair in UTF-8', Buffer.from('7b2261223a22eda080227d', 'hex')],
    ['truncated within a UTF-8 character', Buffer.from('7b2261223a22c3', 'hex')],
    ['arrays nested 30,000 deep', '['.repeat(30_000) + ']'.repeat(30_000)],
    ['arrays nested 60,000 deep and not closed', '['.repeat(60_000)],
    ['objects nested 10,000 deep', '{"a":'.repeat(10_000) + '1' + '}'.repeat(10_000)],
  ])('is rejected on every route: %s', async (_, body) => {
    for (const reply of await toEveryRoute(body)) expectProblem(reply, 'malformed-request');
  });

  it.each<[string, string]>([
    ['arrays nested 100,000 deep', '['.repeat(100_000) + ']'.repeat(100_000)],
    ['arrays nested 500,000 deep and not closed', '['.repeat(500_000)],
    ['objects nested 100,000 deep', '{"a":'.repeat(100_000) + '1' + '}'.repeat(100_000)],
  ])('is rejected as a batch: %s', async (_, body) => {
    expectProblem(await post(body), 'malformed-request');
  });

  it('is rejected with the line and column of the error', async () => {
    expect(expectProblem(await post('{\n  batch_id: 1\n}'), 'malformed-request').detail).toContain('line 2, column 3');
  });
});

describe('an invalid body', () => {
  it('is rejected with pointers in which long names are truncated to 255 characters', async () => {
    const name = '😀'.repeat(100_000);
    const members = Array.from({ length: 100 }, (_, i) => `"m${String(i)}":1e999999`).join();
    const reply = await post(`{"${name}":{${members}}}`);
    const pointers = placesOf(expectProblem(reply, 'invalid-body'));
    expect([pointers.length, pointers[99]]).toEqual([100, `/${'😀'.repeat(255)}…/m99`]);
    expect(reply.text.length).toBeLessThan(100_000);
  });

  it.each(['null', '[]', '"text"', '1', 'true'])(
    'is rejected on every route with a pointer to the whole document: %s',
    async (body) => {
      for (const reply of await toEveryRoute(body)) {
        expect(placesOf(expectProblem(reply, 'invalid-body'))).toEqual(['']);
      }
    },
  );

  it('is rejected on every route with a pointer to each unknown member', async () => {
    for (const reply of await toEveryRoute('{"data":[],"a/b~c":1,"__proto__":2,"constructor":{"prototype":{}}}')) {
      const places = placesOf(expectProblem(reply, 'invalid-body'));
      expect(places).toEqual(expect.arrayContaining(['/a~1b~0c', '/__proto__', '/constructor']));
    }
  });

  it('is rejected with a pointer to every error', async () => {
    const deep: unknown = JSON.parse(tooDeep);
    const body = {
      batch_id: '',
      objects: [
        { object_id: 1, data: [{ key: '', value: deep }, { value: 1 }, 'x', { key: 'k', value: 1, more: 1 }] },
        { object_id: null, data: 7, subject: 'a\nb', observed_at: 'yesterday' },
        { object_id: 'search', data: { k: deep } },
        null,
      ],
      more: true,
    };
    expect(placesOf(expectProblem(await post(body), 'invalid-body')).sort()).toEqual([
      '/batch_id',
      '/more',
      '/objects/0/data/0/key',
      '/objects/0/data/0/value',
      '/objects/0/data/1/key',
      '/objects/0/data/2',
      '/objects/0/data/3/more',
      '/objects/0/object_id',
      '/objects/1/data',
      '/objects/1/object_id',
      '/objects/1/observed_at',
      '/objects/1/subject',
      '/objects/2/data/k',
      '/objects/2/object_id',
      '/objects/3',
    ]);
  });

  it.each([
    '0000-12-31T23:00:00-01:00',
    '0001-01-01T00:00:00+01:00',
    '9999-12-31T23:59:59-01:00',
    '2016-12-31T23:59:60Z',
  ])('is rejected with a pointer to a time that cannot be stored: %s', async (observed_at) => {
    const body = { batch_id: 'b', objects: [{ object_id: 'o', data: [], observed_at }] };
    expect(placesOf(expectProblem(await post(body), 'invalid-body'))).toEqual(['/objects/0/observed_at']);
    const path = `/objects?observed_from=${encodeURIComponent(observed_at)}`;
    const problem = expectProblem(await api.call('GET', path, { key: project.keys.analyst }), 'invalid-query');
    expect(placesOf(problem)).toEqual(['observed_from']);
  });

  it('is rejected with the first 100 errors, and the number of those that were found before validation ended', async () => {
    const objects = Array.from({ length: 1000 }, () => ({ object_id: '', data: [] }));
    const problem = expectProblem(await post({ batch_id: 'b', objects }), 'invalid-body');
    expect(problem.errors).toHaveLength(100);
    expect([problem.error_count, problem.error_count_is]).toEqual([250, 'at_least']);
  });

  it('is rejected with the first 100 conflicts and the total number', async () => {
    const objects = Array.from({ length: 251 }, () => ({ object_id: 'twice', data: [] }));
    const problem = expectProblem(await post({ batch_id: 'b', objects }), 'conflict');
    expect(problem.errors).toHaveLength(100);
    expect(problem.error_count).toBe(250);
  });
});

describe('a name that appears twice', () => {
  it.each([
    ['/batch_id', '{"batch_id":"a","batch_id":"b","objects":[]}'],
    ['/objects', '{"batch_id":"a","objects":[],"objects":[]}'],
    ['/objects/0/object_id', '{"batch_id":"a","objects":[{"object_id":"a","data":[],"object_id":"b"}]}'],
    ['/objects/0/data', '{"batch_id":"a","objects":[{"object_id":"a","data":[],"data":{}}]}'],
    ['/objects/0/data/0/key', withData('[{"key":"a","key":"b","value":1}]')],
    ['/objects/0/data/0/value', withData('[{"key":"a","value":1,"v\\u0061lue":2}]')],
  ])('is rejected with a pointer where only one value can be stored: %s', async (pointer, body) => {
    expect(placesOf(expectProblem(await post(body), 'invalid-body'))).toContain(pointer);
  });

  it('is rejected in the body of POST /projects', async () => {
    const reply = await api.call('POST', '/projects', { key: api.operatorKey, body: '{"name":"a","name":"b"}' });
    expect(placesOf(expectProblem(reply, 'invalid-body'))).toEqual(['/name']);
  });

  it('becomes two pairs in shorthand data, in the order sent', async () => {
    const body = withData('{"k":1,"other":{"a":[2]},"k":["3",{}],"\\u006b":null}', 'repeats');
    expect((await post(body)).status).toBe(201);
    const read = await api.call('GET', '/objects/repeats', { key: project.keys.analyst });
    expect(read.json<{ data: unknown }>().data).toEqual([
      { key: 'k', value: 1 },
      { key: 'other', value: { a: [2] } },
      { key: 'k', value: ['3', {}] },
      { key: 'k', value: null },
    ]);
  });

  it('is rejected in shorthand data when a value that JSON.parse drops is nested too deep', async () => {
    const problem = expectProblem(await post(withData(`{"k":${tooDeep},"k":2}`)), 'invalid-body');
    expect(problem.errors).toEqual([{ pointer: '/objects/0/data/k', detail: 'must nest at most 16 levels deep' }]);
  });

  it('is rejected inside a value', async () => {
    const problem = expectProblem(await post(withData('{"k":[{"deep":1,"deep":2}]}')), 'invalid-body');
    expect(placesOf(problem)).toEqual(['/objects/0/data/k/0/deep']);
  });
});

describe('an error in shorthand data', () => {
  const long = 'x'.repeat(300);
  const cases: [string, string, string][] = [
    ['{"":1}', '/data/', 'is not a valid key: must be 1 to 255 characters; got 0'],
    [`{"${long}":1}`, `/data/${long.slice(0, 255)}…`, 'is not a valid key: must be 1 to 255 characters; got 300'],
    [`{"a/b":${tooDeep}}`, '/data/a~1b', 'must nest at most 16 levels deep'],
  ];
  it.each(cases)('has a pointer to the member in JSON, NDJSON and PATCH: %.20s', async (data, pointer, detail) => {
    const { producer } = project.keys;
    const object = `{"object_id":"shorthand","data":${data}}`;
    const errorsOf = (reply: Reply): unknown => expectProblem(reply, 'invalid-body').errors;
    const json = { key: producer, body: `{"batch_id":"shorthand","objects":[${object}]}` };
    expect(errorsOf(await api.call('POST', '/batches', json))).toEqual([{ pointer: `/objects/0${pointer}`, detail }]);
    const ndjson = { key: producer, body: `\n${object}\n`, headers: { 'Content-Type': 'application/x-ndjson' } };
    const lines = await api.call('PUT', '/batches/shorthand', ndjson);
    expect(errorsOf(lines)).toEqual([{ pointer: `/lines/2${pointer}`, detail }]);
    const headers = { 'Content-Type': 'application/merge-patch+json' };
    const patch = await api.call('PATCH', '/objects/shorthand', { key: producer, body: `{"data":${data}}`, headers });
    expect(errorsOf(patch)).toEqual([{ pointer, detail }]);
  });
});

describe('text that cannot be stored', () => {
  const faults = ['\\u0000', '\\ud800', '\\udc00', '\\udc00\\ud800', 'x\\uD83Dx'];

  it.each(faults)('is rejected in every member that holds text, with a pointer to it: %s', async (text) => {
    const { admin: key } = project.keys;
    const cases: [string, string][] = [
      ['/objects/0/data/0/key', withData(`[{"key":"${text}","value":1}]`)],
      ['/objects/0/data/0/value', withData(`[{"key":"a","value":"${text}"}]`)],
      ['/objects/0/data/a', withData(`{"a":"${text}"}`)],
      [`/objects/0/data/${JSON.parse(`"${text}"`) as string}`, withData(`{"${text}":1}`)],
      ['/batch_id', `{"batch_id":"${text}","objects":[]}`],
      ['/objects/0/object_id', `{"batch_id":"a","objects":[{"object_id":"${text}","data":[]}]}`],
      ['/objects/0/subject', `{"batch_id":"a","objects":[{"object_id":"a","data":[],"subject":"${text}"}]}`],
    ];
    for (const [pointer, body] of cases) {
      const [place] = placesOf(expectProblem(await post(body), 'invalid-body'));
      expect(place).toBe(pointer);
    }
    const named = await api.call('POST', '/projects', { key: api.operatorKey, body: `{"name":"${text}"}` });
    expect(placesOf(expectProblem(named, 'invalid-body'))).toContain('/name');
    const patch = { key, body: `{"data":{"a":"${text}"}}`, headers: MERGE_PATCH };
    expect(placesOf(expectProblem(await api.call('PATCH', '/objects/there', patch), 'invalid-body'))).toEqual([
      '/data/a',
    ]);
  });

  it('is rejected in a query parameter', async () => {
    for (const name of ['key', 'value', 'batch_id', 'subject']) {
      const problem = expectProblem(
        await api.call('GET', `/objects?${name}=a%00b`, { key: project.keys.analyst }),
        'invalid-query',
      );
      expect(placesOf(problem)).toEqual([name]);
    }
    const data = encodeURIComponent('{"a":"\\u0000"}');
    const problem = expectProblem(
      await api.call('GET', `/objects?data=${data}`, { key: project.keys.analyst }),
      'invalid-query',
    );
    expect(placesOf(problem)).toEqual(['data']);
  });

  it('does not include text that only resembles it', async () => {
    const texts = [
      '\\\\u0000',
      '\\u0001',
      '\\ud83d\\ude00',
      '😀',
      '\\u00000'.replace('0000', '0030'),
      '\\\\ud800',
      '\\uffff',
    ];
    const data = `[${texts.map((text) => `{"key":"k","value":"${text}"}`).join()}]`;
    expect((await post(withData(data, 'fine-texts'))).status).toBe(201);
    const read = await api.call('GET', '/objects/fine-texts', { key: project.keys.analyst });
    expect(read.json<{ data: unknown }>().data).toEqual(JSON.parse(data));
  });
});

describe('a number', () => {
  it.each([
    '1e200000',
    '-1e131072',
    '1e-20000',
    '1e-16384',
    '0.1e-16383',
    '1e99999999999999999999',
    '9'.repeat(131_073),
    `0.${'0'.repeat(16_383)}1`,
  ])('that cannot be stored is rejected with a pointer: %.20s', async (number) => {
    const listed = await post(withData(`[{"key":"n","value":${number}}]`));
    expect(placesOf(expectProblem(listed, 'invalid-body'))).toEqual(['/objects/0/data/0/value']);
    const short = await post(withData(`{"n":${number}}`));
    expect(placesOf(expectProblem(short, 'invalid-body'))).toEqual(['/objects/0/data/n']);
  });

  it.each([
    ['1e400', `1${'0'.repeat(400)}`],
    ['12345678901234567890', '12345678901234567890'],
    ['-98765432109876543210.0123456789', '-98765432109876543210.0123456789'],
    ['0.1000', '0.1000'],
    ['-0.0', '0.0'],
    ['1E+2', '100'],
    ['1.50e1', '15.0'],
    ['1e-7', '0.0000001'],
    ['0e99', '0'],
    ['1e131071', `1${'0'.repeat(131_071)}`],
    ['1e-16383', `0.${'0'.repeat(16_382)}1`],
    ['9007199254740993', '9007199254740993'],
  ])('is returned with exactly the value sent: %s', async (number, digits) => {
    const id = `number-${number}`;
    expect((await post(withData(`{"n":${number}}`, id))).status).toBe(201);
    const read = await api.call('GET', `/objects/${encodeURIComponent(id)}`, { key: project.keys.analyst });
    const [, value] = /"value": ?([^}]*)\}/.exec(read.text) ?? [];
    expect(value).toBe(digits);
  });

  it('counts towards BODY_LIMIT_BYTES with its exponent expanded', async () => {
    const numbers = (count: number, number: string): string =>
      `[${Array.from({ length: count }, () => `{"key":"n","value":${number}}`).join()}]`;
    for (const [number, count] of [
      ['1e-16383', 70],
      ['1e131071', 9],
    ] as const) {
      const { detail } = expectProblem(await post(withData(numbers(count, number))), 'too-large');
      expect(detail).toContain('BODY_LIMIT_BYTES');
    }
    expect((await post(withData(numbers(60, '1e-16383'), 'many-digits'))).status).toBe(201);
  });
});

describe('a rejected request', () => {
  it('stores nothing', async () => {
    const [left] = await api.db.sql<{ count: string }>(
      `SELECT count(*) FROM batches WHERE batch_id IN ('a', 'b', 'data')`,
    );
    expect(left?.count).toBe('0');
  });

  it('gets application/problem+json for any Accept header', async () => {
    for (const accept of ['text/html', '*/*', 'application/json', 'application/problem+json']) {
      const reply = await api.call('GET', '/nothing', { headers: { Accept: accept } });
      expect(expectProblem(reply, 'not-found')).toMatchObject(RUN.problems['not-found']);
    }
  });
});
