import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { TestApi, type Reply, type TestProject } from '../harness/api.js';
import { postBatch } from '../objects/wire.js';

let api: TestApi;
let project: TestProject;
let untouched: object[];

beforeAll(async () => {
  api = await TestApi.start({ BODY_LIMIT_BYTES: '100000', BATCH_OBJECTS_MAX: '1000' });
  project = await api.project();
  await postBatch(api, project.keys.producer, 'there', [shoe('t1'), shoe('t2')]);
  await postBatch(api, project.keys.producer, 'elsewhere', [shoe('e1')]);
  untouched = await everything();
});
afterAll(() => api.stop());

const shoe = (object_id: string, size = 1): object => ({ object_id, data: [{ key: 'size', value: size }] });
const many = (count: number): object[] => Array.from({ length: count }, (_, i) => shoe(`m${String(i)}`));

/** Returns all rows of batches and objects, including their sequence numbers. */
const everything = (): Promise<object[]> =>
  api.db.sql(`SELECT b.project_id, b.batch_id, b.seq AS batch_seq, b.object_count, b.revision, o.*
    FROM batches AS b FULL JOIN objects AS o USING (project_id, batch_id) ORDER BY o.project_id, o.object_id`);

type Send = (query: string) => Promise<Reply>;
const post =
  (batch_id: string, objects: unknown): Send =>
  (query) =>
    api.call('POST', `/batches?${query}`, { key: project.keys.admin, body: { batch_id, objects } });
const put =
  (batchId: string, objects: unknown, more = ''): Send =>
  (query) =>
    api.call('PUT', `/batches/${batchId}?${query}${more}`, { key: project.keys.admin, body: { objects } });
const putLines =
  (batchId: string, objects: unknown[], more = ''): Send =>
  (query) => {
    const body = objects.map((one) => (typeof one === 'string' ? one : JSON.stringify(one))).join('\n');
    const headers = { 'Content-Type': 'application/x-ndjson' };
    return api.call('PUT', `/batches/${batchId}?${query}${more}`, { key: project.keys.admin, body, headers });
  };

/**
 * Name, request, outcome, status, object_count of the batch afterwards, and number of the request's objects that are stored and, with
 * `skip`, left out.
 */
const VALID: [string, Send, string, number, number, number, number?][] = [
  ['POST of a new batch', post('new', many(3)), 'create', 201, 3, 3],
  ['POST of an empty batch', post('new', []), 'create', 201, 0, 0],
  ['POST of a long batch', post('new', many(1_000)), 'create', 201, 1_000, 1_000],
  ['PUT of a new batch', put('new', many(3)), 'create', 201, 3, 3],
  ['lines of a new batch', putLines('new', many(900)), 'create', 201, 900, 900],
  ['no lines', putLines('new', []), 'create', 201, 0, 0],
  ['PUT of the same', put('there', [shoe('t1'), shoe('t2')]), 'none', 200, 2, 2],
  ['lines of the same', putLines('there', [shoe('t1'), shoe('t2')]), 'none', 200, 2, 2],
  ['PUT to replace', put('there', many(5), '&on_conflict=replace'), 'replace', 200, 5, 5],
  ['PUT of no objects to replace', put('there', [], '&on_conflict=replace'), 'replace', 200, 0, 0],
  ['lines to replace', putLines('there', many(5), '&on_conflict=replace'), 'replace', 200, 5, 5],
  ['PUT to add', put('there', [...many(3), shoe('t1', 2)], '&on_conflict=skip'), 'extend', 200, 5, 3, 1],
  ['PUT to add existing objects', put('there', [shoe('t1', 2)], '&on_conflict=skip'), 'none', 200, 2, 0, 1],
  ['PUT to add the same', put('there', [shoe('t1'), shoe('t2')], '&on_conflict=skip'), 'none', 200, 2, 0, 2],
  ['lines to add', putLines('there', [...many(3), shoe('t1', 2)], '&on_conflict=skip'), 'extend', 200, 5, 3, 1],
  ['PUT of ids of another batch', put('new', [shoe('e1'), shoe('m0')], '&on_conflict=skip'), 'create', 201, 1, 1, 1],
  [
    'lines to a new batch',
    putLines('new', [...many(900), shoe('e1')], '&on_conflict=skip'),
    'create',
    201,
    900,
    900,
    1,
  ],
  ['POST of a valid part', post('new', many(3)), 'create', 201, 3, 3],
];

describe('dry_run=true', () => {
  it.each(VALID)(
    'returns the expected result of %s, and stores nothing',
    async (_, send, outcome, status, count, stored, ...[skipped]) => {
      const reply = await send('dry_run=true');
      expect([reply.status, reply.headers.get('location')]).toEqual([200, null]);
      const { batch_id, ...rest } = reply.json<{ batch_id: string }>();
      const counts = { object_count: count, stored, ...(skipped === undefined ? {} : { skipped }), rejected: 0 };
      expect(rest).toEqual({ dry_run: true, outcome, status, ...counts });
      expect(['new', 'there']).toContain(batch_id);
      expect(await everything()).toEqual(untouched);
    },
  );

  const bad = { object_id: 'bad', data: 7 };
  const part = [bad, shoe('p1'), shoe('e1'), shoe('p1'), shoe('p2')];
  it.each<[string, string, Send]>([
    ['POST', 'objects', post('new', part)],
    ['PUT', 'objects', put('new', part)],
    ['lines', 'lines', putLines('new', part)],
  ])('returns the numbers of accepted and rejected objects with mode=partial: %s', async (_, kind, send) => {
    const reply = await send('dry_run=true&mode=partial');
    expect(reply.status).toBe(200);
    const { errors, ...rest } = reply.json<{ errors: { pointer: string }[] }>();
    const common = { dry_run: true, outcome: 'create', status: 207, batch_id: 'new' };
    expect(rest).toEqual({ ...common, object_count: 2, stored: 2, rejected: 3, error_count: 3 });
    const first = kind === 'lines' ? 1 : 0;
    const pointers = ['0/data', '2/object_id', '3/object_id'].map((rest) => `/${kind}/${rest}`);
    expect(errors.map((error) => error.pointer.replace(/\d+/, (n) => String(Number(n) - first)))).toEqual(pointers);
    expect(await everything()).toEqual(untouched);
  });

  it.each<[number, string, Send]>([
    [409, 'POST of a batch that exists', post('there', [shoe('t2'), shoe('m1')])],
    [409, 'ids that another batch has', post('new', [shoe('m1'), shoe('e1')])],
    [409, 'an id that appears twice', put('new', [shoe('m1'), shoe('m1')])],
    [409, 'an id that appears twice in lines', putLines('new', [shoe('m1'), shoe('m1')])],
    [409, 'PUT of other content', put('there', [shoe('t1')])],
    [409, 'lines of other content', putLines('there', [shoe('t1')])],
    [409, 'a replacement with ids that another batch has', put('there', [shoe('e1')], '&on_conflict=replace')],
    [400, 'invalid objects', post('new', [bad, shoe('m1')])],
    [400, 'invalid lines', putLines('new', [shoe('m1'), 'nonsense'])],
    [400, 'mode=partial without a valid object', put('new', [bad], '&mode=partial')],
    [400, 'mode=partial without a valid line', putLines('new', [bad, shoe('e1')], '&mode=partial')],
    [400, 'an invalid member', post('new', 7)],
    [400, 'an invalid id in the path', put('%01', [])],
    [400, 'an unknown value of mode', put('new', [], '&mode=whole')],
    [413, 'too many objects', post('new', many(1_001))],
    [413, 'a line that is too long', putLines('new', ['x'.repeat(100_001)])],
  ])('returns the same %d problem as the request without dry_run: %s', async (status, _, send) => {
    const tried = await send('dry_run=true');
    const real = await send('dry_run=false');
    expect([tried.status, real.status]).toEqual([status, status]);
    const withoutRequest = (reply: Reply): object => ({ ...reply.json<object>(), request_id: '', instance: '' });
    expect(withoutRequest(tried)).toEqual(withoutRequest(real));
    expect(await everything()).toEqual(untouched);
  });

  it('reserves no ids, and predicts the response of the real request', async () => {
    const other = await api.project();
    const calls = ['dry_run=true', 'dry_run=true', ''].map((query) => async () => {
      const body = { batch_id: 'tried', objects: many(300) };
      return api.call('POST', `/batches?${query}`, { key: other.keys.producer, body });
    });
    const statuses: number[] = [];
    for (const call of calls) statuses.push((await call()).status);
    expect(statuses).toEqual([200, 200, 201]);
  });

  it('replays its response for the same Idempotency-Key', async () => {
    const options = (key: string): object => ({
      key,
      body: { batch_id: 'kept answer', objects: many(2) },
      headers: { 'Idempotency-Key': 'of-a-dry-run' },
    });
    const other = await api.project();
    const replies: string[] = [];
    for (let i = 0; i < 3; i++) {
      const reply = await api.call('POST', '/batches?dry_run=true', options(other.keys.producer));
      replies.push(`${String(reply.status)} ${reply.text}`);
    }
    expect(new Set(replies)).toEqual(new Set([replies[0]]));
    expect(replies[0]).toMatch(/^200 .*"outcome":"create"/);
  });
});
