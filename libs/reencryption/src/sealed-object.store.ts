import type { Queryable } from '#database';
import { SEALED_PREFIX } from '#encryption';
import { changedObjectsSql } from '#inverted-index';
import { Injectable } from '@nestjs/common';

/** What one transaction looks at, and what it changes, while batches are locked: some 100 ms. */
const LOOKED_AT = 2_000;
const LOOKED_AT_BYTES = 16 * 1024 ** 2;
const CHANGED = 500;
const CHANGED_BYTES = 4 * 1024 ** 2;

/** An object that was deleted or was not, before its data is read. */
interface FoundRow {
  deletion_id: string;
  seq: string;
  bytes: number;
  /** Whether it has a value that is sealed, or is to be sealed. */
  is_affected: boolean;
}

/** The place of a stored or deleted object in its table. */
export interface ObjectPosition {
  /** 0 for an object that is not deleted. */
  deletionId: bigint;
  seq: bigint;
}

/** Objects with a sequence number above `after`, up to `until`. */
export interface SeqRange {
  after: bigint;
  until: bigint;
}

/** The next objects of a project. */
export interface FoundObjects {
  affected: ObjectPosition[];
  /** The last one that was looked at; null where there are no more. */
  last: ObjectPosition | null;
}

/** An object whose data can be changed now. */
export interface SealedObject extends ObjectPosition {
  objectId: string;
  data: string;
}

/** The new data of an object. */
export interface ObjectChange extends ObjectPosition {
  data: string;
  bytesAdded: number;
}

/** Whether an object has a pair of one of the keys $2, or a value that looks sealed. */
const isAffected = (data: string): string => `
  jsonb_path_exists(${data}, '$[*] ? (@.key == $keys[*] || @.value starts with "${SEALED_PREFIX}")',
    jsonb_build_object('keys', $2::text[]), true)`;

const isWithinBytes = `sized.before < ${String(LOOKED_AT_BYTES)}`;

/** After $3, up to $4. The sizes are read before the data, which may be large. */
const FIND = {
  name: 'reencryption.find',
  text: `
    SELECT '0' AS deletion_id, o.seq, o.bytes, ${isAffected('o.data')} AS is_affected
    FROM (
      SELECT seq, sum(bytes) OVER (ORDER BY seq) - bytes AS before FROM (
        SELECT f.seq, f.bytes FROM objects AS f WHERE f.project_id = $1 AND f.seq > $3::bigint AND f.seq <= $4::bigint
        ORDER BY f.seq LIMIT ${String(LOOKED_AT)}
      ) AS first
    ) AS sized, objects AS o
    WHERE o.project_id = $1 AND o.seq = sized.seq AND ${isWithinBytes} ORDER BY o.seq`,
};

/** The same of deleted objects, after $3 and $4. */
const FIND_DELETED = {
  name: 'reencryption.find-deleted',
  text: `
    SELECT o.deletion_id, o.seq, o.bytes, ${isAffected('o.data')} AS is_affected
    FROM (
      SELECT deletion_id, seq, sum(bytes) OVER (ORDER BY deletion_id, seq) - bytes AS before FROM (
        SELECT f.deletion_id, f.seq, f.bytes FROM deleted_objects AS f
        WHERE f.project_id = $1 AND (f.deletion_id, f.seq) > ($3::bigint, $4::bigint)
        ORDER BY f.deletion_id, f.seq LIMIT ${String(LOOKED_AT)}
      ) AS first
    ) AS sized, deleted_objects AS o
    WHERE o.project_id = $1 AND o.deletion_id = sized.deletion_id AND o.seq = sized.seq AND ${isWithinBytes}
    ORDER BY o.deletion_id, o.seq`,
};

/** Every change of an object locks its batch first. One that someone writes to is left for later: a stream may last for hours. */
const LOCK_BATCHES = {
  name: 'reencryption.lock-batches',
  text: `
    SELECT b.batch_id FROM batches AS b
    WHERE b.project_id = $1 AND b.batch_id IN (
      SELECT o.batch_id FROM objects AS o WHERE o.project_id = $1 AND o.seq = ANY ($2::bigint[]))
    ORDER BY b.batch_id FOR UPDATE SKIP LOCKED`,
};

const READ = {
  name: 'reencryption.read',
  text: `
    SELECT '0' AS deletion_id, o.seq, o.object_id, o.data FROM objects AS o
    WHERE o.project_id = $1 AND o.seq = ANY ($2::bigint[])`,
};
const READ_LOCKED = { name: 'reencryption.read-locked', text: `${READ.text} AND o.batch_id = ANY ($3::text[])` };

const LOCK_DELETED = {
  name: 'reencryption.lock-deleted',
  text: `
    SELECT o.deletion_id, o.seq, o.object_id, o.data FROM deleted_objects AS o
    WHERE o.project_id = $1 AND (o.deletion_id, o.seq) IN (SELECT * FROM unnest($2::bigint[], $3::bigint[]))
    FOR UPDATE SKIP LOCKED`,
};

/**
 * The content of the objects stays the same, so the batches keep their revisions, and the changes are not recorded. `bytes` is the size of
 * what was sent, so it changes as the text does.
 */
const UPDATE = {
  name: 'reencryption.update',
  text: `
    WITH sealed AS (
      UPDATE objects AS o SET data = n.data::jsonb, bytes = o.bytes + n.bytes
      FROM unnest($2::bigint[], $3::text[], $4::int[]) AS n (seq, data, bytes)
      WHERE o.project_id = $1 AND o.seq = n.seq RETURNING o.project_id, o.seq, o.batch_id
    ),
    batch AS (
      UPDATE batches AS b SET digest = NULL
      WHERE b.project_id = $1 AND b.digest IS NOT NULL AND b.batch_id IN (SELECT batch_id FROM sealed)
    ),
    ${changedObjectsSql('sealed')}
    SELECT count(*) FROM sealed`,
};

const UPDATE_DELETED = {
  name: 'reencryption.update-deleted',
  text: `
    WITH sealed AS (
      UPDATE deleted_objects AS o SET data = n.data::jsonb, bytes = o.bytes + n.bytes
      FROM unnest($2::bigint[], $3::bigint[], $4::text[], $5::int[]) AS n (deletion_id, seq, data, bytes)
      WHERE o.project_id = $1 AND o.deletion_id = n.deletion_id AND o.seq = n.seq
      RETURNING o.deletion_id, n.bytes
    )
    SELECT coalesce(sum(s.bytes), 0) AS bytes FROM sealed AS s
    JOIN deletions AS d ON d.project_id = $1 AND d.deletion_id = s.deletion_id AND d.is_counted`,
};

/** Reads and rewrites the data of stored and of deleted objects. */
@Injectable()
export class SealedObjectStore {
  /** Looks at the first objects of a range. */
  async find(
    tx: Queryable,
    projectId: number,
    keys: readonly string[],
    { after, until }: SeqRange,
  ): Promise<FoundObjects> {
    return foundOf(await tx.query<FoundRow>(FIND, [projectId, keys, after.toString(), until.toString()]));
  }

  /** Looks at the deleted objects after one. */
  async findDeleted(
    tx: Queryable,
    projectId: number,
    keys: readonly string[],
    { deletionId, seq }: ObjectPosition,
  ): Promise<FoundObjects> {
    return foundOf(await tx.query<FoundRow>(FIND_DELETED, [projectId, keys, deletionId.toString(), seq.toString()]));
  }

  /** Locks objects by their batches, and reads those that are locked. */
  async lock(tx: Queryable, projectId: number, objects: readonly ObjectPosition[]): Promise<SealedObject[]> {
    const seqs = objects.map(({ seq }) => seq.toString());
    const batches = await tx.query<{ batch_id: string }>(LOCK_BATCHES, [projectId, seqs]);
    return objectsOf(await tx.query<DataRow>(READ_LOCKED, [projectId, seqs, batches.map((row) => row.batch_id)]));
  }

  /** Reads objects that others may change. */
  async read(tx: Queryable, projectId: number, objects: readonly ObjectPosition[]): Promise<SealedObject[]> {
    return objectsOf(await tx.query<DataRow>(READ, [projectId, objects.map(({ seq }) => seq.toString())]));
  }

  /** Locks and reads deleted objects, without those that are locked. */
  async lockDeleted(tx: Queryable, projectId: number, objects: readonly ObjectPosition[]): Promise<SealedObject[]> {
    return objectsOf(await tx.query<DataRow>(LOCK_DELETED, [projectId, ...columnsOf(objects)]));
  }

  /** Changes objects that are locked. */
  async update(tx: Queryable, projectId: number, changes: readonly ObjectChange[]): Promise<void> {
    const [, seqs] = columnsOf(changes);
    await tx.query(UPDATE, [projectId, seqs, ...contentsOf(changes)]);
  }

  /** The same of deleted objects. @returns the bytes that were added to those whose space is counted */
  async updateDeleted(tx: Queryable, projectId: number, changes: readonly ObjectChange[]): Promise<number> {
    const values = [projectId, ...columnsOf(changes), ...contentsOf(changes)];
    const [row] = await tx.query<{ bytes: string }>(UPDATE_DELETED, values);
    return Number(row?.bytes);
  }
}

interface DataRow {
  deletion_id: string;
  seq: string;
  object_id: string;
  data: string;
}

function columnsOf(objects: readonly ObjectPosition[]): [deletionIds: string[], seqs: string[]] {
  return [objects.map(({ deletionId }) => deletionId.toString()), objects.map(({ seq }) => seq.toString())];
}

function contentsOf(changes: readonly ObjectChange[]): [datas: string[], bytes: number[]] {
  return [changes.map(({ data }) => data), changes.map(({ bytesAdded }) => bytesAdded)];
}

function positionOf({ deletion_id, seq }: Pick<DataRow, 'deletion_id' | 'seq'>): ObjectPosition {
  return { deletionId: BigInt(deletion_id), seq: BigInt(seq) };
}

function objectsOf(rows: readonly DataRow[]): SealedObject[] {
  return rows.map((row) => ({ ...positionOf(row), objectId: row.object_id, data: row.data }));
}

/** Ends where the objects that have to be changed are enough for one transaction; there is at least one. */
function foundOf(rows: readonly FoundRow[]): FoundObjects {
  const affected: ObjectPosition[] = [];
  let last: ObjectPosition | null = null;
  let bytes = 0;
  for (const row of rows) {
    if (affected.length === CHANGED || bytes >= CHANGED_BYTES) break;
    last = positionOf(row);
    if (!row.is_affected) continue;
    affected.push(last);
    bytes += row.bytes;
  }
  return { affected, last };
}
