import { SegmentBuilder, SegmentStore } from '#inverted-index';
import type { TestDatabase } from '../harness/database.js';
import type { Pair } from '../objects/generated-filters.js';

export const PROJECT = 7;

const textOf = (list: readonly Pair[]): string => JSON.stringify(list.map(([key, value]) => ({ key, value })));

/**
 * Replaces all objects, by objects in segments whose ranges overlap. In the first half of the segments some objects are pending, some were
 * changed after they were indexed, and some were deleted. The index of the others is complete.
 * @param before the data of changed objects when they were indexed
 */
export async function storeMixed(
  db: TestDatabase,
  lists: readonly (readonly Pair[])[],
  before: readonly (readonly Pair[])[],
  segmentCount: number,
): Promise<void> {
  const segments = new SegmentStore(db.database);
  const seqOf = (index: number): bigint => BigInt(index + 1) * 1024n;
  const all = Array.from(lists.keys());
  const isMixed = (index: number): boolean => segmentOf(index) < segmentCount / 2;
  const segmentOf = (index: number): number =>
    Math.min(segmentCount - 1, Math.floor((index + (index % 5) * 3) / (lists.length / segmentCount)));
  const unindexed = all.filter((i) => isMixed(i) && i % 11 === 0);
  const changed = all.filter((i) => isMixed(i) && i % 7 === 0);
  const deleted = all.filter((i) => isMixed(i) && i % 13 === 0);
  const seqs = (indexes: readonly number[]): string[] => indexes.map((i) => seqOf(i).toString());
  await db.sql('TRUNCATE objects, index_segments, index_blocks, index_pending, index_outdated');
  await db.database.transactionOnce(async (tx) => {
    const rows = all.filter((i) => !deleted.includes(i)).map((i) => `{"i":${String(i)},"d":${textOf(lists[i] ?? [])}}`);
    await tx.query(
      `INSERT INTO objects (project_id, batch_id, object_id, seq, observed_at, data, bytes)
       SELECT $2, 'b', i::text, (i + 1) * 1024, now(), d, 1 FROM jsonb_to_recordset($1::jsonb) AS o (i int, d jsonb)`,
      [`[${rows.join()}]`, PROJECT],
    );
    for (let number = 0; number < segmentCount; number++) {
      const own = all.filter((i) => segmentOf(i) === number && !unindexed.includes(i));
      const builder = new SegmentBuilder();
      builder.add(
        own.map(seqOf),
        own.map((i) => textOf((changed.includes(i) ? before[i] : lists[i]) ?? [])),
      );
      await segments.insertNew(tx, PROJECT, builder);
    }
    const pending = [...new Set([...unindexed, ...changed])].filter((i) => !deleted.includes(i));
    await tx.query(`INSERT INTO index_pending (project_id, seq) SELECT $1, unnest($2::bigint[])`, [
      PROJECT,
      seqs(pending),
    ]);
    const outdated = [...new Set([...changed, ...deleted])];
    await tx.query(
      `INSERT INTO index_outdated (project_id, seq, before_segment) SELECT $1, unnest($2::bigint[]), 9223372036854775807`,
      [PROJECT, seqs(outdated)],
    );
  });
}
