import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { encrypt } from '../encryption/encrypted-project.js';
import { expectProblem, placesOf } from '../errors/expect-problem.js';
import { TestApi, type Reply, type TestProject } from '../harness/api.js';
import { waitFor } from '../jobs/jobs.js';
import { postBatch } from '../objects/wire.js';
import { brief, EventStream, readChanges, type ChangesBody } from './change-client.js';

/** Of every server, because one of them encrypts values. */
const DATA_KEY = { STOWAGE_DATA_KEY: Buffer.alloc(32, 7).toString('base64') };
/** Half a minute: a reader that is not woken fails the test by its time. */
const WAIT = 'wait=30';

let api: TestApi;
let project: TestProject;
let key: string;

beforeAll(async () => {
  // A key may have 11 waiting readers.
  api = await TestApi.start({ MAX_CONNECTIONS: '20', ...DATA_KEY });
  project = await api.project();
  key = project.keys.analyst;
});
afterAll(() => api.stop());

let batches = 0;
async function post(by = api): Promise<string> {
  const id = `b${String(batches++)}`;
  await postBatch(by, project.keys.producer, id, [{ object_id: id, data: {} }]);
  return id;
}

/** A request that the server holds until there is a change. No other reader may wait. */
async function startReader(query: string, by = key, server = api): Promise<{ reply: Promise<Reply> }> {
  const reading = async (only: string): Promise<number> => {
    const statements = await api.db.sql(
      `SELECT FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() AND ${only} AND query ~ 'FROM changes AS c'`,
    );
    return statements.length;
  };
  const reply = await api.db.transaction(async (tx) => {
    await tx.query('LOCK TABLE changes');
    const sent = server.call('GET', `${server.origin}/api/v1/objects/changes?${query}`, { key: by });
    await waitFor(async () => ((await reading(`wait_event_type = 'Lock'`)) > 0 ? true : undefined));
    return { sent };
  });
  await waitFor(async () => ((await reading(`state <> 'idle'`)) === 0 ? true : undefined));
  return { reply: reply.sent };
}

const resultsOf = async ({ reply }: { reply: Promise<Reply> }): Promise<string[]> =>
  brief((await reply).json<ChangesBody>().results);

describe('a reader that waits', () => {
  it('gets a change of its own server, and of another one', async () => {
    const { next } = await readChanges(api, key);
    const first = await startReader(`since=${next}&${WAIT}`);
    const id = await post();
    expect(await resultsOf(first)).toEqual([`created ${id}`]);
    const other = await api.another(DATA_KEY);
    try {
      const page = (await first.reply).json<ChangesBody>();
      const second = await startReader(`since=${page.next}&${WAIT}`);
      const otherId = await post(other);
      expect(await resultsOf(second)).toEqual([`created ${otherId}`]);
    } finally {
      await other.stop();
    }
  });

  it('gets a change that nobody has notified it of', async () => {
    const { next } = await readChanges(api, key);
    const reader = await startReader(`since=${next}&${WAIT}`);
    await api.db.sql(
      `INSERT INTO pending_changes (project_id, wal_position, kind, batch_id, is_batch, object_ids, objects, changed_at)
       VALUES ($1, pg_current_wal_insert_lsn(), 'deleted', 'b', false, '{by-sql}', 1, now())`,
      [project.projectId],
    );
    expect(await resultsOf(reader)).toEqual(['deleted by-sql']);
  });

  it('gets an empty page after its time, and at once where it need not wait', async () => {
    const { next } = await readChanges(api, key);
    expect(await readChanges(api, key, next, 'wait=1')).toEqual({ results: [], next, has_more: false });
    const id = await post();
    expect(brief((await readChanges(api, key, next, WAIT)).results)).toEqual([`created ${id}`]);
  });

  it('holds no connection to the database', async () => {
    const { next } = await readChanges(api, key);
    const streams = await Promise.all(Array.from({ length: 10 }, () => EventStream.open(api, key, `since=${next}`)));
    await waitFor(async () => {
      const [row] = await api.db.sql<{ busy: string }>(
        `SELECT count(*) AS busy FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'stowage' AND state <> 'idle'`,
      );
      return row?.busy === '0' ? true : undefined;
    });
    const id = await post();
    for (const stream of streams) {
      expect(brief([(await stream.nextChange()).change])).toEqual([`created ${id}`]);
      stream.close();
    }
  });
});

describe('Server-Sent Events', () => {
  it('have each change with a cursor, from which another connection continues', async () => {
    const { next } = await readChanges(api, key);
    const stream = await EventStream.open(api, key, `since=${next}`);
    expect(stream.response.headers['content-type']).toBe('text/event-stream; charset=utf-8');
    const ids = [await post(), await post(), await post()];
    const [first, second] = [await stream.nextChange(), await stream.nextChange()];
    expect(brief([first.change, second.change])).toEqual([`created ${ids[0] ?? ''}`, `created ${ids[1] ?? ''}`]);
    stream.close();
    // EventSource connects to the same URL.
    const again = await EventStream.open(api, key, `since=${next}`, { 'Last-Event-ID': first.id });
    expect(brief([(await again.nextChange()).change, (await again.nextChange()).change])).toEqual(
      ids.slice(1).map((id) => `created ${id}`),
    );
    again.close();
  });

  it('begin without since at the latest change, with its cursor', async () => {
    await post();
    const stream = await EventStream.open(api, key, '');
    const start = await stream.next();
    expect(start?.change).toBeUndefined();
    const id = await post();
    expect(brief([(await stream.nextChange()).change])).toEqual([`created ${id}`]);
    stream.close();
    expect(brief((await readChanges(api, key, start?.id)).results)).toEqual([`created ${id}`]);
  });

  it('end when the key is revoked, and the readers that wait get 401', async () => {
    const path = `/projects/${String(project.projectId)}/keys`;
    const made = await api.call('POST', path, { key: api.operatorKey, body: { name: 'short', role: 'analyst' } });
    const { key: short, key_id: id } = made.json<{ key: string; key_id: string }>();
    const { next } = await readChanges(api, short);
    const reader = await startReader(`since=${next}&${WAIT}`, short);
    const stream = await EventStream.open(api, short, `since=${next}`);
    expect((await stream.next())?.change).toBeUndefined();
    expect((await api.call('DELETE', `${path}/${id}`, { key: api.operatorKey })).status).toBe(204);
    await post();
    expectProblem(await reader.reply, 'unauthenticated');
    let last = await stream.next();
    while (last !== undefined) last = await stream.next();
    expect(stream.hasEnded).toBe(true);
  });

  it('end before a filter compares values that another server has encrypted, and the readers that wait get 400', async () => {
    const followed = await api.project();
    const { keys } = followed;
    const filter = `data=${encodeURIComponent('{"email":"a@x"}')}`;
    await postBatch(api, keys.producer, 'people', [{ object_id: 'ada', data: { email: 'a@x', role: 'author' } }]);
    const { next } = await readChanges(api, keys.analyst, undefined, filter);
    const query = `since=${next}&${filter}`;
    const reader = await startReader(`${query}&${WAIT}`, keys.analyst);
    const stream = await EventStream.open(api, keys.analyst, query);
    expect((await stream.next())?.change).toBeUndefined();
    const other = await api.another(DATA_KEY);
    try {
      // Nothing notifies the first server of the list: it reads it up to a second later.
      await encrypt(other, followed, ['email']);
      const headers = { 'Content-Type': 'application/merge-patch+json' };
      const patch = { key: keys.admin, headers, body: { data: { role: 'editor' } } };
      expect((await other.call('PATCH', '/objects/ada', patch)).status).toBe(200);
      expect(placesOf(expectProblem(await reader.reply, 'invalid-query'))).toEqual(['data']);
      const sent: unknown[] = [];
      for (let event = await stream.next(); event !== undefined; event = await stream.next()) sent.push(event.change);
      expect([sent.filter((change) => change !== undefined), stream.hasEnded]).toEqual([[], true]);
      const read = await api.call('GET', `/objects/changes?${query}`, { key: keys.analyst });
      expect(placesOf(expectProblem(read, 'invalid-query'))).toEqual(['data']);
    } finally {
      await other.stop();
    }
  });

  it('and other readers end when the server stops', async () => {
    const { next } = await readChanges(api, key);
    const other = await api.another(DATA_KEY);
    const reader = await startReader(`since=${next}&${WAIT}`, key, other);
    const stream = await EventStream.open(other, key, `since=${next}`);
    await stream.next();
    await other.stop();
    expect([await stream.next(), stream.hasEnded]).toEqual([undefined, true]);
    expect(await resultsOf(reader)).toEqual([]);
  });
});

describe('too many readers', () => {
  it('of a key get 429 with Retry-After, and another one may wait when one has left', async () => {
    const { next } = await readChanges(api, key);
    const streams: EventStream[] = [];
    for (let count = 0; count < 11; count++) streams.push(await EventStream.open(api, key, `since=${next}`));
    const rejected = await api.call('GET', `/objects/changes?since=${next}&wait=1`, { key });
    expectProblem(rejected, 'rate-limited');
    expect(rejected.headers.get('retry-after')).toBe('5');
    // Without waiting it is an ordinary read.
    expect((await readChanges(api, key, next)).results).toEqual([]);
    streams.pop()?.close();
    await waitFor(async () => {
      const reply = await api.call('GET', `/objects/changes?since=${next}&wait=1`, { key });
      return reply.status === 200 ? true : undefined;
    });
    for (const stream of streams) stream.close();
  });
});
