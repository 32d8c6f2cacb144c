import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { expectProblem, placesOf } from '../errors/expect-problem.js';
import { sendRaw } from '../errors/send-raw.js';
import { TestApi, type Reply, type TestProject } from '../harness/api.js';
import { postBatch, type BatchBody, type WholeBatchBody } from '../objects/wire.js';

let api: TestApi;
let project: TestProject;

beforeAll(async () => {
  api = await TestApi.shared();
  project = await api.project();
});
afterAll(() => api.stop());

const NDJSON = { 'Content-Type': 'application/x-ndjson' };
const pathOf = (batchId: string): string => `/batches/${encodeURIComponent(batchId)}`;
const put = (batchId: string, objects: unknown[], query = '', key = project.keys.producer): Promise<Reply> =>
  api.call('PUT', pathOf(batchId) + query, { key, body: { objects } });
const putText = (batchId: string, objects: string): Promise<Reply> =>
  api.call('PUT', pathOf(batchId), { key: project.keys.producer, body: `{"objects":${objects}}` });
const putLines = (batchId: string, body: string, query = ''): Promise<Reply> =>
  api.call('PUT', pathOf(batchId) + query, { key: project.keys.producer, body, headers: NDJSON });
const read = (batchId: string, key = project.keys.analyst): Promise<Reply> => api.call('GET', pathOf(batchId), { key });
const idsIn = async (batchId: string): Promise<string[]> =>
  (await read(batchId)).json<WholeBatchBody>().objects.map((one) => one.object_id);
const shoe = (object_id: string, size: unknown = 1): object => ({ object_id, data: [{ key: 'size', value: size }] });
const many = (name: string, count: number): object[] =>
  Array.from({ length: count }, (_, i) => shoe(`${name}-${String(i)}`));

/** Returns the rows of a batch and its objects, including their sequence numbers. */
const stateOf = (batchId: string): Promise<object[]> =>
  api.db.sql(
    `SELECT b.seq AS batch_seq, b.revision, b.object_count, o.* FROM batches AS b
     LEFT JOIN objects AS o USING (project_id, batch_id) WHERE b.project_id = $1 AND b.batch_id = $2 ORDER BY o.seq`,
    [project.projectId, batchId],
  );

describe('PUT /batches/{batch_id}', () => {
  it.each([0, 3, 200, 201, 1_500])('stores a new batch of %d objects, with the response of POST', async (count) => {
    const id = `new/${String(count)}`;
    const reply = await put(id, many(id, count));
    const batch = reply.json<BatchBody>();
    expect([reply.status, reply.headers.get('location')]).toEqual([201, batch.url]);
    expect(Object.keys(batch).sort()).toEqual(['batch_id', 'created_at', 'object_count', 'objects_url', 'url']);
    expect(batch).toMatchObject({ batch_id: id, object_count: count });
    expect((await read(id)).json()).toEqual({ batch_id: id, objects: many(id, count) });

    const before = await stateOf(id);
    for (let again = 0; again < 3; again++) {
      const same = await put(id, many(id, count), again === 2 ? '?on_conflict=replace' : '');
      expect([same.status, same.json()]).toEqual([200, batch]);
    }
    expect(await stateOf(id)).toEqual(before);
  });

  it('keeps the ETag of an unchanged batch', async () => {
    await put('etag', [shoe('etag-1')]);
    const etag = (await read('etag')).headers.get('etag');
    await put('etag', [shoe('etag-1')]);
    expect((await read('etag')).headers.get('etag')).toBe(etag);
  });

  it('returns 200 for a batch that was posted with the same content', async () => {
    await postBatch(api, project.keys.producer, 'posted', many('posted', 3));
    expect((await put('posted', many('posted', 3))).status).toBe(200);
  });

  it('accepts batch_id in the body only if it equals the path', async () => {
    const body = (batch_id: unknown): object => ({ key: project.keys.producer, body: { batch_id, objects: [] } });
    expect((await api.call('PUT', '/batches/said', body('said'))).status).toBe(201);
    for (const other of ['Said', 'said ']) {
      const problem = expectProblem(await api.call('PUT', '/batches/said', body(other)), 'invalid-body');
      expect(placesOf(problem)).toEqual(['/batch_id']);
    }
    expect((await read('Said')).status).toBe(404);
  });

  it("leaves another project's batch with the same id unchanged", async () => {
    const other = await api.project();
    await put('shared', [shoe('shared-1')]);
    const before = (await read('shared')).text;
    expect((await put('shared', [shoe('shared-1', 2)], '', other.keys.producer)).status).toBe(201);
    expect((await put('shared', [], '?on_conflict=replace', other.keys.producer)).status).toBe(200);
    expect((await read('shared')).text).toBe(before);
    expect((await read('shared', other.keys.analyst)).json<WholeBatchBody>().objects).toEqual([]);
  });

  it('rejects invalid bodies and unknown parameters', async () => {
    const bad = await put('bad', [shoe('x'), { object_id: 'y', data: [{ key: '', value: 1 }] }]);
    expect(placesOf(expectProblem(bad, 'invalid-body'))).toEqual(['/objects/1/data/0/key']);
    const queries = ['on_conflict=keep', 'on_conflict=', 'on_conflict=skip&on_conflict=replace', 'on_conflict[]=skip'];
    for (const query of [...queries, 'mode=whole', 'dry_run=yes', 'onConflict=skip']) {
      const problem = expectProblem(await put('bad', [], `?${query}`), 'invalid-query');
      expect(placesOf(problem)).toEqual([query.split('=')[0]]);
    }
    expect((await read('bad')).status).toBe(404);
  });
});

describe('the batch id in the path', () => {
  it.each([
    'a/b',
    'a.b',
    '...',
    '"quoted\' \\ %2F ?#&+ ;',
    'ünï👢\u2028',
    '\\.',
    '\\N',
    '👢'.repeat(255),
    'x'.repeat(255),
  ])('accepts every id that POST accepts (%#)', async (id) => {
    const body = `{"object_id":"in ${JSON.stringify(id).slice(1, -1).slice(0, 100)}","data":[]}\n`;
    const objectId = (JSON.parse(body) as { object_id: string }).object_id;
    for (const reply of [await putLines(id, body), await put(id, [{ object_id: objectId, data: [] }])]) {
      expect([200, 201]).toContain(reply.status);
      expect(reply.json<BatchBody>()).toMatchObject({ batch_id: id, object_count: 1 });
    }
    expect((await read(id)).json<WholeBatchBody>()).toMatchObject({ batch_id: id, objects: [{ object_id: objectId }] });
  });

  it.each([
    '%01',
    'a%0Ab',
    '%7F',
    '%C2%85',
    'x'.repeat(256),
    '%F0%9F%91%A2'.repeat(256),
    '%00',
    '%FF',
    '%ED%A0%80',
    'x'.repeat(9_000),
  ])('rejects every id that POST rejects (%#)', async (id) => {
    const { producer: key } = project.keys;
    for (const [body, headers] of [
      ['{"objects":[]}', {}],
      ['', NDJSON],
      ['{"object_id":"never","data":[]}', NDJSON],
    ] as const) {
      const reply = await api.call('PUT', `/batches/${id}`, { key, body, headers });
      expect([400, 414]).toContain(reply.status);
      expectProblem(reply, reply.status === 400 ? 'invalid-path' : 'uri-too-long');
    }
    expect(
      await api.db.sql(`SELECT FROM objects WHERE project_id = $1 AND object_id = 'never'`, [project.projectId]),
    ).toHaveLength(0);
    expect(
      await api.db.sql(
        `SELECT FROM batches WHERE project_id = $1 AND (batch_id ~ '[[:cntrl:]]' OR length(batch_id) > 255)`,
        [project.projectId],
      ),
    ).toHaveLength(0);
  });

  it.each(['.', '..', '%2E', '%2e.'])('rejects %s, which URL parsers remove from paths', async (id) => {
    const head = `PUT /api/v1/batches/${id} HTTP/1.1\r\nHost: x\r\nX-Api-Key: ${project.keys.producer}\r\n`;
    for (const type of ['application/json', 'application/x-ndjson']) {
      const body = type === 'application/json' ? '{"objects":[]}' : '{"object_id":"never","data":[]}';
      const request = `${head}Content-Type: ${type}\r\nContent-Length: ${String(body.length)}\r\n\r\n${body}`;
      expectProblem(await sendRaw(api.origin, request), 'invalid-path');
    }
  });
});

const SENT = `[{"object_id":"%-1","data":[{"key":"k","value":"é/"},{"key":"n","value":1.50}],"subject":"s","observed_at":"2024-05-01T12:00:00Z"},
  {"object_id":"%-2","data":[{"key":"n","value":1e2},{"key":"n","value":"1"}]}]`;
const SECOND = '{"object_id":"%-2","data":[{"key":"n","value":1e2},{"key":"n","value":"1"}]}';
const FIRST = SENT.slice(1, SENT.indexOf(',\n'));

describe('PUT of the same content', () => {
  it.each<[string, string, boolean?]>([
    ['with different white space', SENT.replaceAll('":', '" \r\n:\t').replaceAll(',"', ' , "').replaceAll('{', '{ ')],
    [
      'with different escapes',
      SENT.replace('é/', '\\u00e9\\/').replace('"key"', '"k\\u0065y"').replace('"s"', '"\\u0073"'),
    ],
    ['with members in another order', SENT.replace('"key":"k","value":"é/"', '"value":"é/","key":"k"')],
    ['in shorthand', SENT.replace(/\[\{"key":"n","value":1e2.*?\]/, '{"n":1e2,"n":"1"}')],
    ['with null for omitted members', SENT.replace('"%-2"', '"%-2","subject":null,"observed_at":null')],
    ['with the same time in another time zone', SENT.replace('12:00:00Z', '14:00:00.000+02:00')],
    ['with the same number in another notation', SENT.replace('1e2', '100').replace('1.50', '0.150e1')],
    ['as lines', `${FIRST}\n${SECOND}\n`, true],
    ['as lines in shorthand', `${FIRST}\r\n\r\n${SECOND.replace(/\[.*\]/, '{"n":100,"n":"1"}')}`, true],
  ])('%s changes nothing', async (name, text, isLines = false) => {
    const withName = (one: string): string => one.replaceAll('%', name);
    expect((await putText(name, withName(SENT))).status).toBe(201);
    const before = await stateOf(name);
    const reply = await (isLines ? putLines : putText)(name, withName(text));
    expect([reply.status, reply.text]).toEqual([200, reply.text]);
    expect(await stateOf(name)).toEqual(before);
  });
});

describe('PUT of other content', () => {
  it.each<[string, string]>([
    ['another value', SENT.replace('é/', 'e/')],
    ['another digit', SENT.replace('1.50', '1.5')],
    ['another type', SENT.replace('"value":"1"', '"value":1')],
    ['another key', SENT.replace('"key":"k"', '"key":"K"')],
    ['another subject', SENT.replace('"subject":"s"', '"subject":"S"')],
    ['no subject', SENT.replace('"subject":"s",', '')],
    ['another time', SENT.replace('12:00:00Z', '12:00:00.000001Z')],
    ['no time', SENT.replace(',"observed_at":"2024-05-01T12:00:00Z"', '')],
    ['another id', SENT.replace('%-2', '%-3')],
    ['another order of objects', `[${SECOND},${FIRST}]`],
    ['another order of pairs', SENT.replace(/(\{"key":"n","value":1e2\}),(\{.*?\})/, '$2,$1')],
    ['an additional object', SENT.replace(/\]$/, ',{"object_id":"%-3","data":[]}]')],
    ['a missing object', `[${FIRST}]`],
    ['no objects', '[]'],
  ])('is rejected, and changes nothing: %s', async (name, text) => {
    const withName = (one: string): string => one.replaceAll('%', name);
    expect(text).not.toBe(SENT);
    expect((await putText(name, withName(SENT))).status).toBe(201);
    const before = await stateOf(name);
    // The first request runs without a stored digest, the second with it.
    for (let round = 0; round < 2; round++) {
      const problem = expectProblem(await putText(name, withName(text)), 'conflict');
      expect(placesOf(problem)).toEqual(['/batch_id']);
      expect(problem.errors?.[0]?.detail).toContain(`"${name}"`);
      const lines = (JSON.parse(withName(text)) as object[]).map((one) => `${JSON.stringify(one)}\n`).join('');
      if (name !== 'another digit') expectProblem(await putLines(name, lines), 'conflict');
      expect((await putText(name, withName(SENT))).status).toBe(200);
    }
    expect(await stateOf(name)).toEqual(before);
  });

  it.each<[string, string, string, unknown]>([
    ['PATCH', '/objects/%-0', 'merge-patch+json', { data: { size: 2 } }],
    ['PUT', '/objects/%-0', 'json', { data: { size: 2 } }],
    ['POST', '/objects', 'json', { batch_id: '%', object_id: '%-3', data: [] }],
    ['DELETE', '/objects/%-2', '', undefined],
  ])('is detected after %s of an object, until that change is reverted', async (method, path, type, body) => {
    const objects = many(method, 3);
    await put(method, objects);
    expect((await put(method, objects)).status).toBe(200);
    const sent =
      body === undefined
        ? {}
        : { body: JSON.stringify(body).replaceAll('%', method), headers: { 'Content-Type': `application/${type}` } };
    const { admin: key } = project.keys;
    expect((await api.call(method, path.replace('%', method), { key, ...sent })).status).toBeLessThan(300);
    expectProblem(await put(method, objects), 'conflict');
    if (method === 'POST') await api.call('DELETE', '/objects/POST-3', { key });
    else if (method === 'DELETE')
      await api.call('POST', '/objects', { key, body: { batch_id: 'DELETE', ...objects[2] } });
    else await api.call('PUT', `/objects/${method}-0`, { key, body: { data: { size: 1 } } });
    expect((await put(method, objects)).status).toBe(200);
    expect(await idsIn(method)).toEqual([0, 1, 2].map((i) => `${method}-${String(i)}`));
  });
});
