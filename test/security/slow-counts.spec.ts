import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { openApiOf, operationsOf } from '../documents/open-api.js';
import { TestApi, type Reply } from '../harness/api.js';
import { countLockWaits } from '../harness/tables.js';
import { waitFor } from '../jobs/jobs.js';
import { fill } from '../routes/route-table.js';
import { ProjectWithResources } from './resources.js';

/** Of an advisory lock. */
const LOCK = 20_261_126;
/** After this time a statement of the server ends by itself. */
const LOCK_TIMEOUT_MS = 10_000;
/** An aggregate that servers find before PostgreSQL's own, so that every `count(*)` waits for the lock. */
const SLOW_COUNT = `
  CREATE FUNCTION after_lock(bigint) RETURNS bigint LANGUAGE plpgsql AS $$
  BEGIN
    PERFORM pg_advisory_xact_lock_shared(${String(LOCK)});
    RETURN $1;
  END $$;
  CREATE AGGREGATE count(*) (SFUNC = int8inc, STYPE = bigint, INITCOND = '0', FINALFUNC = after_lock);
  DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET search_path = public, pg_catalog', current_database()); END $$;`;

/** Makes queries count by SQL: the inverted index does not serve a project with many objects that are too large for it. */
const WITHOUT_INDEX = `
  INSERT INTO index_pending (project_id, seq, is_wide) SELECT project_id, seq, true FROM objects ORDER BY seq DESC LIMIT 100
  ON CONFLICT (project_id, seq) DO UPDATE SET is_wide = true`;

/** The newest objects that a page reads before it uses the index, and the matches that it then reads. */
const SCANNED = 2_000;
const MATCHES_READ = 1_001;

interface Page {
  count: number | null;
  count_is?: string;
  count_reason?: string;
  results: object[];
}

let api: TestApi;
let slow: TestApi;
let hurried: TestApi;
let mine: ProjectWithResources;
let lists: string[];

beforeAll(async () => {
  api = await TestApi.start({ WORKER: 'inline' });
  mine = await ProjectWithResources.create(api, 'mine');
  const key = mine.keyOf('producer');
  const sprocket = { teeth: 5, pitch_diameter: 5, outside_diameter: 6, pitch: 1 };
  expect((await api.call('POST', '/sprockets', { key, body: sprocket })).status).toBe(201);
  for (const [batch_id, length] of [
    ['matching', MATCHES_READ + 1],
    ['newer', SCANNED],
  ] as const) {
    const objects = Array.from({ length }, (_, n) => ({
      object_id: `${batch_id}-${String(n)}`,
      data: { in: batch_id },
    }));
    expect((await api.call('POST', '/batches', { key, body: { batch_id, objects } })).status).toBe(201);
  }
  const test = fill('/webhooks/{webhook_id}/test', mine.idsFor('admin'));
  expect((await api.call('POST', test, { key: mine.keyOf('admin') })).status).toBe(202);
  await api.db.sql(WITHOUT_INDEX);
  await api.db.sql(SLOW_COUNT);
  slow = await api.another({ QUERY_TIMEOUT_MS: '120000' });
  hurried = await api.another({ QUERY_TIMEOUT_MS: '300' });
  const isCounted = ({ responses }: { responses: Record<string, { headers?: object }> }): boolean =>
    'Preference-Applied' in (responses['200']?.headers ?? {});
  lists = operationsOf(await openApiOf(api))
    .filter(([name, operation]) => name.startsWith('GET ') && isCounted(operation))
    .map(([name]) => name.replace('GET /api/v1', ''));
});
afterAll(async () => {
  await hurried.stop();
  await slow.stop();
  await api.stop();
});

const untilLockWaits = (count: number): Promise<boolean> =>
  waitFor(async () => ((await countLockWaits(api.db)) === count ? true : undefined), LOCK_TIMEOUT_MS / 2);

/** Runs the work while every count waits, as if it were slow; the pages themselves are read as usual. */
function whileCountsAreSlow(work: () => Promise<void>): Promise<void> {
  return api.db.transaction(async (tx) => {
    await tx.query(`SELECT pg_advisory_xact_lock(${String(LOCK)})`);
    await work();
  });
}

function get(path: string, prefer?: string, on = slow): Promise<Reply> {
  const role = /^\/(?:projects|operator-keys|audit)/.test(path) ? 'operator' : 'admin';
  const headers: Record<string, string> = prefer === undefined ? {} : { Prefer: prefer };
  return on.call('GET', fill(path, mine.idsFor('admin')), { key: mine.keyOf(role), headers });
}

describe('a count that takes too long', () => {
  it('does not cost the page of any list: the count is what the page shows, with the reason', async () => {
    expect(lists).toEqual(
      expect.arrayContaining(['/objects', '/batches', '/jobs', '/audit', '/sprockets', '/devices']),
    );
    await whileCountsAreSlow(async () => {
      for (const list of lists) {
        for (const mode of ['', '&count=exact', '&count=estimated']) {
          const path = `${list}?page_size=1${mode}`;
          const reply = await get(path, 'wait=0');
          // Every write keeps the number of all objects, so they are not counted.
          if (list === '/objects') {
            expect([path, reply.status, reply.json<Page>().count_is]).toEqual([path, 200, 'exact']);
            continue;
          }
          const { count, count_is, count_reason, results } = reply.json<Page>();
          expect([path, reply.status, results.length, count_is]).toEqual([path, 200, 1, 'at_least']);
          expect([path, count]).toEqual([path, reply.json<{ next: string | null }>().next === null ? 1 : 2]);
          expect(count_reason).toMatch(/^Counting took longer than 0 s and was cancelled\. .* Prefer: wait=N.*\.$/);
          expect(reply.headers.get('preference-applied')).toBe('wait=0');
        }
      }
      await untilLockWaits(0);
    });
  });

  it.each(['/batches?key=in&count=exact&page_size=1', '/objects?key=in&count=exact&page_size=1'])(
    'does not cost a filtered page: %s',
    async (path) => {
      await whileCountsAreSlow(async () => {
        expect((await get(path, 'wait=0')).json<Page>()).toMatchObject({ count: 2, count_is: 'at_least' });
      });
      const { count, count_is, count_reason } = (await get(path)).json<Page>();
      const all = path.startsWith('/batches') ? 2 : MATCHES_READ + 1 + SCANNED;
      expect([count, count_is, count_reason]).toEqual([all, 'exact', undefined]);
    },
  );

  it('is at least the matches that were found to read the page', async () => {
    await whileCountsAreSlow(async () => {
      const { count, count_is } = (await get('/objects?data={"in":"matching"}&count=exact', 'wait=0')).json<Page>();
      expect([count, count_is]).toEqual([MATCHES_READ, 'at_least']);
    });
  });

  it('does not count the result that a cursor names, which may be deleted', async () => {
    const path = '/objects?key=in&count=none&page_size=1';
    const { next } = (await get(path)).json<{ next: string }>();
    await whileCountsAreSlow(async () => {
      const url = next.replace('count=none', 'count=exact');
      const reply = await slow.call('GET', url, { key: mine.keyOf('admin'), headers: { Prefer: 'wait=0' } });
      expect(reply.json<Page>()).toMatchObject({ count: 2, count_is: 'at_least' });
    });
  });

  it('is cancelled after 2 s, and later with a longer Prefer: wait', async () => {
    let longer = get('/jobs');
    await longer;
    await whileCountsAreSlow(async () => {
      longer = get('/jobs?count=exact', 'wait=60');
      await untilLockWaits(1);
      const reply = await get('/jobs?count=exact');
      expect(reply.json<Page>()).toMatchObject({ count_is: 'at_least', count_reason: expect.stringContaining('2 s') });
      expect(reply.headers.get('preference-applied')).toBeNull();
      await untilLockWaits(1);
    });
    const reply = await longer;
    expect([reply.json<Page>().count_is, reply.headers.get('preference-applied')]).toEqual(['exact', 'wait=60']);
  });

  it('is cancelled at QUERY_TIMEOUT_MS whatever Prefer: wait is', async () => {
    await whileCountsAreSlow(async () => {
      const reply = await get('/jobs?count=exact', 'wait=60', hurried);
      const reason = expect.stringContaining('0.3 s');
      expect([reply.status, reply.json<Page>()]).toMatchObject([200, { count_is: 'at_least', count_reason: reason }]);
      expect(reply.headers.get('preference-applied')).toBe('wait=1');
    });
  });

  it('is cancelled when its client leaves', async () => {
    await whileCountsAreSlow(async () => {
      const leaving = new AbortController();
      const request = fetch(`${slow.origin}/api/v1/jobs?count=exact`, {
        headers: { 'X-Api-Key': mine.keyOf('admin'), Prefer: 'wait=60' },
        signal: leaving.signal,
      });
      await untilLockWaits(1);
      leaving.abort();
      await expect(request).rejects.toThrow();
      await untilLockWaits(0);
    });
  });
});

describe('Prefer: wait', () => {
  it('is ignored where it is not a number of seconds', async () => {
    const reply = await get('/jobs?count=exact', 'wait=soon');
    expect([reply.json<Page>().count_is, reply.headers.get('preference-applied')]).toEqual(['exact', null]);
  });

  it('is not applied to a page without a count', async () => {
    const device = '/firmware/{device_id}';
    for (const path of ['/jobs?count=none', device]) {
      expect([path, (await get(path, 'wait=5')).headers.get('preference-applied')]).toEqual([path, null]);
    }
  });
});
