import { get, type IncomingMessage } from 'node:http';
import { text } from 'node:stream/consumers';
import { gunzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { expectProblem, placesOf } from '../errors/expect-problem.js';
import { TestApi, type TestProject } from '../harness/api.js';
import { countLockWaits } from '../harness/tables.js';
import { waitFor } from '../jobs/jobs.js';
import { allOf, postBatch, type ObjectBody } from '../objects/wire.js';
import { readExport, startExport, trailersOf, wholeLines } from './export-client.js';

const NDJSON = { 'Content-Type': 'application/x-ndjson' };

let api: TestApi;
let project: TestProject;

beforeAll(async () => {
  api = await TestApi.start();
  project = await api.project();
  await postBatch(api, project.keys.producer, 'shoes', [
    { object_id: 's1', data: { type: 'shoe', size: 42 } },
    { object_id: 's2', data: { type: 'shoe' }, subject: 'shelf-7', observed_at: '2024-05-01T12:00:00.5' },
  ]);
  await postBatch(api, project.keys.producer, 'boots', [{ object_id: 'b1', data: { type: 'boot' } }]);
});
afterAll(() => api.stop());

async function linesOf(query: string, { keys }: TestProject = project): Promise<string[]> {
  return wholeLines(await readExport(api, keys.analyst, query));
}

const idsOf = async (query: string): Promise<string[]> =>
  (await linesOf(query)).map((line) => (JSON.parse(line) as ObjectBody).object_id);

describe('GET /objects/export', () => {
  it('takes operators and nested values in its filter', async () => {
    const other = await api.project();
    await postBatch(api, other.keys.producer, 'nested', [
      { object_id: 'n1', data: { tags: ["a'b", '"\\'], owner: { city: 'Lisbon' }, cost: 5 } },
      { object_id: 'n2', data: { tags: ['a'], cost: 15 } },
    ]);
    for (const data of [
      { tags: { $in: [["a'b", '"\\'], [1]] } },
      { tags: "a'b", cost: { $lt: 10 } },
      { 'owner.city': { $contains: 'isb' } },
      { owner: { city: 'Lisbon' } },
      { cost: { $not: { $gte: 10 } } },
    ]) {
      const lines = await linesOf(`?data=${encodeURIComponent(JSON.stringify(data))}`, other);
      expect([data, lines.map((line) => (JSON.parse(line) as ObjectBody).object_id)]).toEqual([data, ['n1']]);
    }
  });

  it('returns every object as it is read, oldest first', async () => {
    const objects = await allOf<ObjectBody>(api, project.keys.analyst, '/objects');
    const lines = await linesOf('');
    expect(lines.map((line) => JSON.parse(line) as unknown)).toEqual(objects.reverse());
    expect(lines[1]).toBe(
      '{"object_id":"s2","batch_id":"shoes","subject":"shelf-7","observed_at":"2024-05-01T12:00:00.5Z","data":[{"key": "type", "value": "shoe"}]}',
    );
  });

  it.each<[string, string[]]>([
    ['?data={"type":"shoe"}', ['s1', 's2']],
    ['?key=size&value=42', ['s1']],
    ['?batch_id=boots', ['b1']],
    ['?data={"size":{"$gte":41.5,"$lt":43}}', ['s1']],
    ['?data={"$or":[{"type":{"$prefix":"bo"}},{"size":{"$in":[1,42]}}]}', ['s1', 'b1']],
    ['?data={"size":{"$ne":[42,{"a":"b"}]}}&subject_prefix=shelf', ['s2']],
    ['?subject=shelf-7', ['s2']],
    ['?observed_until=2025-01-01T00:00:00Z', ['s2']],
    [`?value=${encodeURIComponent("' OR TRUE --")}`, []],
    [`?value=${encodeURIComponent('\\')}`, []],
  ])('returns exactly the objects that match %s', async (query, ids) => {
    expect(await idsOf(query)).toEqual(ids);
  });

  it('returns all objects in order, whether the inverted index finds them or they are too many for it', async () => {
    const many = await api.project();
    const lines = Array.from({ length: 10_050 }, (_, n) => `{"object_id":"m${String(n)}","data":{"n":${String(n)}}}\n`);
    const body = lines.join('');
    expect((await api.call('PUT', '/batches/m', { key: many.keys.producer, body, headers: NDJSON })).status).toBe(201);
    for (const count of [0, 10_000, 10_001, 10_050]) {
      const ids = (await linesOf(`?fields=object_id&data={"n":{"$lt":${String(count)}}}`, many)).map(
        (line) => (JSON.parse(line) as ObjectBody).object_id,
      );
      expect(ids).toEqual(Array.from({ length: count }, (_, n) => `m${String(n)}`));
    }
  });

  it('says that it is a file that must not be cached', async () => {
    const { headers } = await readExport(api, project.keys.analyst);
    expect(headers).toMatchObject({
      'content-type': 'application/x-ndjson; charset=utf-8',
      'content-disposition': 'attachment; filename="objects.ndjson"',
      'cache-control': 'no-store',
      'transfer-encoding': 'chunked',
      trailer: 'export-count export-sha256',
    });
    expect(headers).not.toHaveProperty('etag');
  });

  it.each([
    '?fields=object_id,data.type',
    '?fields=subject,observed_at',
    '?fields=data.none',
    '?fields=data,data.type,batch_id',
    '?data_as=object',
    '?data_as=object&fields=data.size,object_id',
  ])('returns what GET /objects returns for %s', async (query) => {
    const objects = await allOf<ObjectBody>(api, project.keys.analyst, `/objects${query}`);
    expect((await linesOf(query)).map((line) => JSON.parse(line) as unknown)).toEqual(objects.reverse());
  });

  it('is compressed for a client that asks for gzip, with the digest of the content', async () => {
    const plain = await readExport(api, project.keys.analyst);
    const gzip = await readExport(api, project.keys.analyst, '', { 'Accept-Encoding': 'gzip' });
    expect(gzip.headers).toMatchObject({ 'content-encoding': 'gzip', vary: 'Accept-Encoding' });
    expect(gunzipSync(gzip.body)).toEqual(plain.body);
    expect(gzip.trailers).toEqual(plain.trailers);
  });

  it('has no objects in an empty project, and says so', async () => {
    const { keys } = await api.project();
    const { body, trailers } = await readExport(api, keys.analyst);
    expect(trailers).toEqual(trailersOf('', 0));
    expect(JSON.parse(body.toString())).toMatchObject({ export: { count: 0 } });
  });

  it('rejects paging, unknown formats, and a client that accepts no format', async () => {
    for (const name of ['page=1', 'page_size=5', 'cursor=x', 'count=exact', 'explain=true', 'format=xml']) {
      const reply = await api.call('GET', `/objects/export?${name}`, { key: project.keys.analyst });
      expect(placesOf(expectProblem(reply, 'invalid-query'))).toEqual([name.replace(/=.*/, '')]);
    }
    const headers = { Accept: 'image/png' };
    expectProblem(await api.call('GET', '/objects/export', { key: project.keys.analyst, headers }), 'not-acceptable');
  });

  it('works for a client of HTTP 1.0, which knows no trailers', async () => {
    const { connect } = await import('node:net');
    const socket = connect(Number(new URL(api.origin).port), '127.0.0.1');
    socket.write(
      `GET /api/v1/objects/export HTTP/1.0\r\nHost: localhost\r\nX-Api-Key: ${project.keys.analyst}\r\n\r\n`,
    );
    const [head = '', body = ''] = (await text(socket)).split('\r\n\r\n');
    expect(head).not.toMatch(/^(?:trailer|transfer-encoding)/im);
    expect(body.trimEnd().split('\n')).toHaveLength(4);
  });
});

describe('an export that is loaded again', () => {
  const odd = fc.constantFrom('\\', '\\N', '\\.', '\t', '\n', '\r', '\b', '\u007f', '"', "'", 'é', '👢', '\u2028', '{');
  const anyText = fc.array(fc.oneof(odd, fc.constant('a')), { minLength: 1, maxLength: 6 }).map((all) => all.join(''));
  const id = anyText.map((one) => one.replace(/\p{Cc}/gu, 'c'));
  const number = fc.constantFrom('0.1000', '1e400', '-0.5', '12345678901234567890', '42');
  const value = fc.oneof(
    anyText.map((one) => JSON.stringify(one)),
    number,
    fc.constantFrom('true', 'null', '""'),
  );
  const pair = fc.tuple(anyText, value).map(([key, one]) => `{"key":${JSON.stringify(key)},"value":${one}}`);
  const object = fc
    .record({
      pairs: fc.array(pair, { maxLength: 4 }),
      subject: fc.option(id),
      time: fc.option(fc.constant('1999-12-31T23:59:59.000001Z')),
    })
    .map(
      ({ pairs, subject, time }) =>
        `"data":[${pairs.join()}],"subject":${JSON.stringify(subject)},"observed_at":${JSON.stringify(time)}`,
    );
  const objects = fc.uniqueArray(fc.tuple(id, object), { selector: ([one]) => one, maxLength: 5 });

  it('gives the same objects in the same order, byte for byte', async () => {
    const [from, into] = [await api.project(), await api.project()];
    const load = async ({ keys }: TestProject, body: string): Promise<void> => {
      const reply = await api.call('PUT', '/batches/b?on_conflict=replace', {
        key: keys.producer,
        body,
        headers: NDJSON,
      });
      expect([reply.text, reply.status < 300]).toEqual([reply.text, true]);
    };
    const check = async (list: [string, string][]): Promise<void> => {
      await load(from, list.map(([one, rest]) => `{"object_id":${JSON.stringify(one)},${rest}}\n`).join(''));
      const { body } = await readExport(api, from.keys.analyst);
      await load(into, body.toString());
      expect((await readExport(api, into.keys.analyst)).body.toString()).toBe(body.toString());
    };
    await fc.assert(fc.asyncProperty(objects, check), { numRuns: 50 });
  });

  it('is rejected as a whole where a line is missing', async () => {
    const body = (await readExport(api, project.keys.analyst, '?batch_id=shoes')).body.toString();
    const { keys } = await api.project();
    const damaged = body.slice(body.indexOf('\n') + 1);
    const reply = await api.call('PUT', '/batches/shoes', { key: keys.producer, body: damaged, headers: NDJSON });
    expect(placesOf(expectProblem(reply, 'invalid-body'))).toEqual(['/lines/2/export/count']);
    expect(await linesOf('', { ...project, keys })).toEqual([]);
  });
});

describe('a large export', () => {
  let large: TestProject;
  const COUNT = 3_000;

  beforeAll(async () => {
    large = await api.project();
    const objects = Array.from({ length: COUNT }, (_, i) => ({
      object_id: `o${String(i)}`,
      data: { note: 'x'.repeat(10_000) },
    }));
    await postBatch(api, large.keys.producer, 'large', objects);
  });

  async function openTransactions(): Promise<number> {
    const [row] = await api.db.sql<{ count: string }>(
      `SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND xact_start IS NOT NULL AND pid <> pg_backend_pid()`,
    );
    return Number(row?.count);
  }

  const untilNoTransactionIsOpen = (): Promise<true> =>
    waitFor(async () => ((await openTransactions()) === 0 ? true : undefined));

  /** Starts an export whose client does not read, so that the server waits in the middle. */
  const startPaused = (): Promise<IncomingMessage> => startExport(api, large.keys.analyst);

  it('returns one state while objects are added, changed and deleted', async () => {
    const response = await startPaused();
    const { admin } = large.keys;
    for (const [method, path, body] of [
      ['DELETE', '/objects/o2999', undefined],
      ['PUT', '/objects/o2998', { data: {} }],
      ['POST', '/objects', { batch_id: 'large', object_id: 'late', data: {} }],
    ] as const) {
      expect((await api.call(method, path, { key: admin, body })).status).toBeLessThan(300);
    }
    const body = await text(response);
    const lines = body.trimEnd().split('\n');
    expect(JSON.parse(lines.pop() ?? '')).toMatchObject({ export: { count: COUNT } });
    expect(lines).toHaveLength(COUNT);
    expect(lines.filter((line) => line.length < 10_000 || line.includes('"late"'))).toEqual([]);
    await untilNoTransactionIsOpen();
  });

  it('ends its transaction when the client leaves during the response, and after HEAD', async () => {
    const response = await startPaused();
    expect(await openTransactions()).toBeGreaterThan(0);
    response.destroy();
    await untilNoTransactionIsOpen();
    const head = await api.call('HEAD', '/objects/export', { key: large.keys.analyst });
    expect([head.status, head.headers.get('content-type'), head.text]).toEqual([
      200,
      'application/x-ndjson; charset=utf-8',
      '',
    ]);
    expect(await openTransactions()).toBe(0);
  });

  it('ends its query when the client leaves before the first object', async () => {
    await api.db.transaction(async (tx) => {
      await tx.query('LOCK TABLE objects');
      const url = `${api.origin}/api/v1/objects/export`;
      const request = get(url, { headers: { 'X-Api-Key': large.keys.analyst } }).on('error', () => undefined);
      const lockWaits = (count: number): Promise<true> =>
        waitFor(async () => ((await countLockWaits(api.db)) === count ? true : undefined));
      await lockWaits(1);
      request.destroy();
      await lockWaits(0);
    });
    // The slot of the export is free again.
    expect((await readExport(api, large.keys.analyst, '?batch_id=none')).status).toBe(200);
  });

  it('waits while all slots of the project are in use, and other projects are served', async () => {
    // DATABASE_POOL_MAX is 20: three exports at a time, two of a project that is alone.
    const paused = [await startPaused(), await startPaused()];
    let isServed = false;
    const third = readExport(api, large.keys.analyst, '?batch_id=none').then((reply) => {
      isServed = true;
      return reply;
    });
    expect((await readExport(api, project.keys.analyst)).status).toBe(200);
    expect(isServed).toBe(false);
    for (const response of paused) response.destroy();
    expect((await third).status).toBe(200);
    await untilNoTransactionIsOpen();
  });
});
