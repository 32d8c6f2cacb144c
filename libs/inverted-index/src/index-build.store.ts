import { setTimeout as sleep } from 'node:timers/promises';
import { Database, DISABLE_STATEMENT_TIMEOUT } from '#database';
import { Injectable } from '@nestjs/common';
import { SHARE_INDEX } from './index-lock.js';
import { SEGMENTS_OF_STEP, SegmentStore, type ObjectSize } from './segment.store.js';
import { SeqRuns } from './seq-runs.js';

const IS_BUILDING = `SELECT FROM index_builds WHERE project_id = $1`;

const LOCK_BUILD = `SELECT below_seq FROM index_builds WHERE project_id = $1 FOR UPDATE SKIP LOCKED`;

/** Pending objects are left to the indexer. */
const NEXT_OBJECTS = `
  SELECT o.seq, o.bytes, p.seq IS NOT NULL AS is_pending
  FROM (SELECT seq, bytes FROM objects WHERE project_id = $1 AND seq < $2 ORDER BY seq DESC LIMIT $3) AS o
  LEFT JOIN index_pending AS p ON p.project_id = $1 AND p.seq = o.seq ORDER BY o.seq`;

const OVERLAPPING = `
  SELECT seqs FROM index_segments WHERE project_id = $1 AND last_seq >= $2::bigint AND first_seq <= $3::bigint`;

const CONTINUE = `UPDATE index_builds SET below_seq = $2 WHERE project_id = $1`;

const FINISH = `DELETE FROM index_builds WHERE project_id = $1`;

/** Objects of one step: half a second of work, more where they are large. */
const STEP_OBJECTS = 5_000;

/** How long to wait for a step of another process. */
const BUSY_MS = 200;

/**
 * Indexes the objects that were stored before the index existed, newest first, in transactions of their own, so that it continues
 * where it was interrupted. Until it has ended, queries of the project do not use the index.
 */
@Injectable()
export class IndexBuildStore {
  constructor(
    private readonly database: Database,
    private readonly segments: SegmentStore,
  ) {}

  /** Indexes all objects of a project. Other processes may take steps of it. */
  async buildAll(projectId: number): Promise<void> {
    while ((await this.database.query(IS_BUILDING, [projectId])).length > 0) {
      if (!(await this.buildSome(projectId))) await sleep(BUSY_MS);
    }
  }

  /** Indexes the next objects of a project. @returns whether there are more */
  buildSome(projectId: number): Promise<boolean> {
    return this.database.transaction(async (tx) => {
      await tx.query(SHARE_INDEX, [projectId]);
      const [build] = await tx.query<{ below_seq: string }>(LOCK_BUILD, [projectId]);
      if (build === undefined) return false;
      await tx.query(DISABLE_STATEMENT_TIMEOUT);
      const numbers = await this.segments.nextNumbers(tx, SEGMENTS_OF_STEP);
      const objects = await tx.query<ObjectSize & { is_pending: boolean }>(NEXT_OBJECTS, [
        projectId,
        build.below_seq,
        STEP_OBJECTS,
      ]);
      const first = objects[0]?.seq;
      if (first === undefined) {
        await tx.query(FINISH, [projectId]);
        return false;
      }
      // Objects that were written after the build began may have smaller numbers than its first object.
      const rows = await tx.query<{ seqs: Buffer }>(OVERLAPPING, [projectId, first, objects.at(-1)?.seq]);
      const indexed = rows.map(({ seqs }) => SeqRuns.from(seqs));
      const isIndexed = (seq: bigint): boolean => indexed.some((seqs) => seqs.ordinalOf(seq) !== -1);
      const missing = objects.filter(({ seq, is_pending: isPending }) => !isPending && !isIndexed(BigInt(seq)));
      await this.segments.insertUnlocked(tx, projectId, missing, numbers);
      await tx.query(CONTINUE, [projectId, first]);
      return true;
    });
  }
}
