import { Config } from '#platform';
import { afterAll, beforeAll, beforeEach, describe, expect, it, jest } from '@jest/globals';
import { cloneDatabase, type TestDatabase } from '../../../test/harness/database.js';
import { countLockWaits } from '../../../test/harness/tables.js';
import { waitFor } from '../../../test/jobs/jobs.js';
import { JobBodyRoom } from './job-body-room.js';
import { MAINTENANCE_ROWS } from './maintenance.js';

const MIB = 1024 ** 2;
const MAX = 4 * MIB;

let db: TestDatabase;
let projectId = 0;

beforeAll(async () => {
  db = await cloneDatabase();
});
beforeEach(async () => {
  await db.sql('TRUNCATE jobs, job_parts');
  projectId++;
});
afterAll(() => db.close());

const newRoom = (): JobBodyRoom => new JobBodyRoom(db.database, new Config({ JOB_BODIES_BYTES_MAX: String(MAX) }));
const take = (room: JobBodyRoom, bytes: number): Promise<() => void> => room.take(projectId, bytes, bytes);
const addParts = (ids: string, bytes: number): Promise<unknown> =>
  db.sql(
    `INSERT INTO job_parts (project_id, job_id, part, bytes)
     SELECT $1, n, 0, convert_to(repeat('x', $3), 'UTF8') FROM unnest($2::int[]) AS n`,
    [projectId, ids, bytes],
  );
const addJobs = async (status: string, ids: string, bytes: number): Promise<void> => {
  await db.sql(
    `INSERT INTO jobs (project_id, job_id, key_id, operation, input, media_type, parts, status, attempts)
     SELECT $1, n, 1, 'test', '{}', 'application/json', 1, $3, 0 FROM unnest($2::int[]) AS n`,
    [projectId, ids, status],
  );
  await addParts(ids, bytes);
};
const stored = async (): Promise<number[]> =>
  (await db.sql<{ id: number }>('SELECT job_id::int AS id FROM job_parts ORDER BY job_id')).map(({ id }) => id);

describe('the room for bodies of a project', () => {
  it('is taken once by requests at the same time', async () => {
    const room = newRoom();
    await addParts('{1}', 2 * MIB + 1);
    const taken = await Promise.allSettled([1, 2, 3, 4].map(() => take(room, MIB)));
    expect(taken.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'rejected', 'rejected']);
    await room.take(projectId + 1, MAX, MAX);
  });

  it('is what another process has freed since the sum was read', async () => {
    const [first, second] = [newRoom(), newRoom()];
    await addJobs('queued', '{1, 2, 3}', MIB);
    await addJobs('failed', '{4}', MIB);
    for (const room of [first, second]) await take(room, 0);
    await take(first, MIB / 2);
    await take(second, MIB / 2);
    expect(await stored()).toEqual([1, 2, 3]);
  });

  it('is what another process frees at the same time', async () => {
    await addJobs('failed', '{1, 2, 3, 4}', MIB);
    const [taking] = await db.transaction(async (tx) => {
      await tx.query('SELECT FROM jobs WHERE job_id = 1 FOR UPDATE');
      await tx.query('DELETE FROM job_parts WHERE job_id = 1');
      const next = take(newRoom(), MIB / 2);
      await waitFor(async () => (await countLockWaits(db)) > 0 || undefined);
      return [next];
    });
    await taking;
    expect(await stored()).toEqual([2, 3, 4]);
  });

  it('is freed by as many statements as it takes', async () => {
    const count = MAINTENANCE_ROWS + 500;
    await addJobs('failed', `{${Array.from({ length: count }, (_, n) => n + 1).join(',')}}`, 400);
    await take(newRoom(), MAX - 10_000);
    expect((await stored()).length).toBeLessThan(25);
  });

  it('is freed of uploads whose last part is older than an hour', async () => {
    const room = newRoom();
    await addParts('{1, 2}', 2 * MIB);
    await db.sql(`UPDATE job_parts SET kept_at = now() - interval '61 minutes' WHERE job_id = 1`);
    await db.sql(`UPDATE job_parts SET kept_at = now() - interval '59 minutes' WHERE job_id = 2`);
    await take(room, MIB);
    await expect(take(room, 3 * MIB)).rejects.toMatchObject({ slug: 'unavailable' });
    expect(await stored()).toEqual([2]);
  });

  it('costs a project without room less than a tenth of the time, and a search for abandoned uploads once a minute', async () => {
    await addJobs('queued', '{1, 2, 3, 4}', MIB);
    let nowMs = 0;
    let statementMs = 500;
    const clock = jest.spyOn(performance, 'now').mockImplementation(() => nowMs);
    const statements: string[] = [];
    const query = db.database.query.bind(db.database) as (...parameters: unknown[]) => Promise<never[]>;
    const queries = jest.spyOn(db.database, 'query').mockImplementation((statement, values) => {
      statements.push((statement as { name: string }).name);
      nowMs += statementMs;
      return query(statement, values);
    });
    try {
      const room = newRoom();
      const statementsOfRequest = async (): Promise<string[]> => {
        await expect(take(room, 1)).rejects.toMatchObject({ slug: 'unavailable' });
        return statements.splice(0);
      };
      const [read, failed, abandoned] = [
        'job.stored-bytes',
        'job.delete-failed-bodies',
        'job.delete-abandoned-uploads',
      ];
      expect(await statementsOfRequest()).toEqual([read, failed, abandoned, read]);
      nowMs += 29_000;
      expect(await statementsOfRequest()).toEqual([]);
      nowMs += 2_000;
      expect(await statementsOfRequest()).toEqual([read, failed, read]);
      nowMs += 30_000;
      expect(await statementsOfRequest()).toEqual([read, failed, abandoned, read]);
      // A database that stalls does not multiply its time without end.
      statementMs = 30_000;
      nowMs += 61_000;
      expect(await statementsOfRequest()).toEqual([read, failed, abandoned, read]);
      nowMs += 59_000;
      expect(await statementsOfRequest()).toEqual([]);
      nowMs += 2_000;
      expect(await statementsOfRequest()).not.toEqual([]);
    } finally {
      clock.mockRestore();
      queries.mockRestore();
    }
  });
});
