import { randomUUID } from 'node:crypto';
import { Database, type Queryable } from '#database';
import { beganBeforeSql, KEY_UNUSED_AFTER_S, LIST_APPLIES_AT } from '#encryption';
import { Injectable } from '@nestjs/common';

/** A project whose stored values have to be sealed with the current data key, or opened. */
export interface SealedProject {
  projectId: number;
  /** The keys whose values are sealed; those of others are opened. */
  keys: readonly string[];
  /** When the list or the data key has changed. */
  changedAt: string;
  /** The sequence number after which objects were not looked at. */
  cursor: bigint;
  /** Of the row of the project: each step, and each other change of the row, makes another one. */
  version: string;
}

/** Where the walk through a project is, as stored. */
export type StoredPosition = Pick<SealedProject, 'cursor' | 'version'>;

interface ProjectRow {
  project_id: number;
  encrypted_keys: string[] | null;
  encryption_cursor: string;
  encryption_changed_at: string;
  version: string;
}

/** `data_keys AS k`, where no process seals values with it any more. */
const IS_UNUSED = `k.used_at < now() - interval '${String(KEY_UNUSED_AFTER_S)} seconds'`;

/**
 * Has all values sealed with the data key $1, where no process has another one as STOWAGE_DATA_KEY: in projects with another one, and in
 * those where a process has used another one since they were last sealed.
 */
const BEGIN_ROTATION = {
  name: 'reencryption.begin-rotation',
  text: `
    UPDATE projects AS p SET encryption_key_id = $1::text, encryption_cursor = 0, encryption_changed_at = now()
    WHERE p.encryption_key_id IS NOT NULL
      AND NOT EXISTS (SELECT FROM data_keys AS k WHERE k.key_id <> $1 AND NOT ${IS_UNUSED})
      AND (p.encryption_key_id <> $1
        OR EXISTS (SELECT FROM data_keys AS k WHERE k.key_id <> $1 AND k.used_at > p.encryption_changed_at))
    RETURNING p.project_id`,
};

/** Forgets data keys with which no value is sealed any more; $1 is the current one. */
const FORGET_KEYS = {
  name: 'reencryption.forget-keys',
  text: `
    DELETE FROM data_keys AS k WHERE ${IS_UNUSED} AND NOT EXISTS (
      SELECT FROM projects AS p WHERE p.encryption_key_id IS NOT NULL AND (
        p.encryption_cursor IS NOT NULL OR p.encryption_key_id = k.key_id OR p.encryption_key_id <> $1
        OR k.used_at > p.encryption_changed_at))
    RETURNING key_id`,
};

/** How long a process has a project after its last step. Its next step usually comes earlier. */
const LEASE_MS = 120_000;
const LEASE_END = `clock_timestamp() + interval '${String(LEASE_MS)} milliseconds'`;

/**
 * Takes projects that are due and that no other process has, the least recently walked first, so that those whose steps fail do not keep
 * others waiting. A project that this process ($2) has, and that is not in $3, lost its walk by an error. `GET /maintenance` shows the
 * transactions that a project waits for.
 */
const TAKE = {
  name: 'reencryption.take',
  text: `
    WITH free AS MATERIALIZED (
      SELECT p.project_id FROM projects AS p
      WHERE p.encryption_key_id = $1 AND p.encryption_cursor IS NOT NULL AND ${LIST_APPLIES_AT} < now()
        AND NOT EXISTS (SELECT FROM pg_stat_activity AS a WHERE ${beganBeforeSql(LIST_APPLIES_AT)})
        AND p.project_id <> ALL ($3::int[])
        AND (p.encryption_holder IS NULL OR p.encryption_holder = $2 OR p.encryption_leased_until <= clock_timestamp())
      ORDER BY p.encryption_leased_until NULLS FIRST, p.encryption_changed_at LIMIT $4
      FOR NO KEY UPDATE OF p SKIP LOCKED
    )
    UPDATE projects AS p SET encryption_holder = $2, encryption_leased_until = ${LEASE_END}
    FROM free WHERE p.project_id = free.project_id
    RETURNING p.project_id, p.encrypted_keys, p.encryption_cursor, p.encryption_changed_at, p.xmin::text AS version`,
};

/** Rows that others have locked stay as they are until the lease expires: nothing waits for them. */
const GIVE_BACK = {
  name: 'reencryption.give-back',
  text: `
    WITH held AS MATERIALIZED (
      SELECT project_id FROM projects WHERE project_id = ANY ($1::int[]) AND encryption_holder = $2
      FOR NO KEY UPDATE SKIP LOCKED
    )
    UPDATE projects AS p SET encryption_holder = NULL, encryption_leased_until = clock_timestamp()
    FROM held WHERE p.project_id = held.project_id`,
};

const UNCHANGED = `
  SELECT p.encryption_cursor, p.xmin::text AS version FROM projects AS p
  WHERE p.project_id = $1 AND p.encryption_key_id = $2 AND p.encryption_changed_at = $3::timestamptz
    AND p.encryption_cursor IS NOT NULL AND p.encryption_holder = $4`;
const FIND = { name: 'reencryption.find-unchanged', text: UNCHANGED };
/** One transaction at a time takes a step, and a change of the list or a restore of deleted objects waits for it. */
const LOCK = { name: 'reencryption.lock', text: `${UNCHANGED} FOR NO KEY UPDATE SKIP LOCKED` };

const MOVE_CURSOR = {
  name: 'reencryption.move-cursor',
  text: `
    UPDATE projects SET encryption_cursor = $2, encryption_leased_until = ${LEASE_END}
    WHERE project_id = $1 RETURNING xmin::text AS version`,
};

/** The values of removed keys are open, and a project without a list has no sealed values any more. */
const FINISH = {
  name: 'reencryption.finish',
  text: `
    UPDATE projects SET encryption_cursor = NULL, encryption_removed_keys = NULL,
      encryption_key_id = CASE WHEN encrypted_keys IS NOT NULL THEN encryption_key_id END,
      encryption_holder = NULL, encryption_leased_until = NULL
    WHERE project_id = $1`,
};

/**
 * Which projects have to be sealed, and which of them this process has. That a project is sealed completely does not depend on who has it:
 * each step locks its row, and compares what is stored there with the walk.
 */
@Injectable()
export class SealedProjectStore {
  private readonly holder = randomUUID();

  constructor(private readonly database: Database) {}

  /** @returns the projects whose values have another data key from now on */
  async beginRotation(keyId: string): Promise<number[]> {
    return (await this.database.query<{ project_id: number }>(BEGIN_ROTATION, [keyId])).map((row) => row.project_id);
  }

  /** @returns the ids of the data keys that are not needed any more */
  async forgetKeys(keyId: string): Promise<string[]> {
    return (await this.database.query<{ key_id: string }>(FORGET_KEYS, [keyId])).map((row) => row.key_id);
  }

  /** @param own the projects that this process walks through @returns others that are due, which this process has from now on */
  async take(keyId: string, own: readonly number[], most: number): Promise<SealedProject[]> {
    const rows = await this.database.query<ProjectRow>(TAKE, [keyId, this.holder, own, most]);
    return rows.map((row) => ({
      projectId: row.project_id,
      keys: row.encrypted_keys ?? [],
      changedAt: row.encryption_changed_at,
      ...positionOf(row),
    }));
  }

  /** Lets other processes take those of the projects that this one still has. */
  async giveBack(projectIds: readonly number[]): Promise<void> {
    await this.database.query(GIVE_BACK, [projectIds, this.holder]);
  }

  /** Locks a project until the transaction ends. @returns null where another process has it, its list was changed, or its walk has ended */
  async lock(
    tx: Queryable,
    { projectId, changedAt }: SealedProject,
    keyId: string,
  ): Promise<StoredPosition | 'busy' | null> {
    const values = [projectId, keyId, changedAt, this.holder];
    const [row] = await tx.query<ProjectRow>(LOCK, values);
    if (row !== undefined) return positionOf(row);
    const isLocked = (await tx.query(FIND, values)).length > 0;
    return isLocked ? 'busy' : null;
  }

  /** Renews the lease, too. @returns the version, by which the next step sees whether someone else has written the row since */
  async moveCursor(tx: Queryable, projectId: number, cursor: bigint): Promise<string> {
    const [row] = await tx.query<Pick<ProjectRow, 'version'>>(MOVE_CURSOR, [projectId, cursor.toString()]);
    if (row === undefined) throw new Error('a locked project does not exist');
    return row.version;
  }

  async finish(tx: Queryable, projectId: number): Promise<void> {
    await tx.query(FINISH, [projectId]);
  }
}

function positionOf({ encryption_cursor: cursor, version }: ProjectRow): StoredPosition {
  return { cursor: BigInt(cursor), version };
}
