import { Config } from '#platform';
import { Database, isSeq, timeOfSeq, type Queryable, readPage, type Count, type ListSql, type Slice } from '#database';
import type { PageRequest, Role } from '#http';
import { Injectable } from '@nestjs/common';
import { InjectRepository } from '@nestjs/typeorm';
import { In, IsNull, Not, Repository } from 'typeorm';
import { ApiKeyEntity } from './api-key.entity.js';
import type { KeyDto, KeyStatus, MeDto } from './key.dto.js';

const KEY_COLUMNS = [
  'key_id',
  'name',
  'role',
  'prefix',
  'device_id',
  'canary',
  'expires_at',
  'revoked_at',
  'last_used_at',
] as const satisfies readonly (keyof ApiKeyEntity)[];

const NEW_KEY_COLUMNS = [
  'key_id',
  'project_id',
  'role',
  'name',
  'prefix',
  'hash',
  'secret_id',
  'device_id',
  'canary',
  'expires_at',
  'nonce',
] as const satisfies readonly (keyof ApiKeyEntity)[];

/** The columns of a new key; the others are null until it is used or revoked. */
export type NewKeyRow = Pick<ApiKeyEntity, (typeof NEW_KEY_COLUMNS)[number]>;

type TimeColumn = 'expires_at' | 'revoked_at' | 'last_used_at';

/** A key without its secret; SQL returns times as text, the repository as Date. */
type KeyRow = Omit<Pick<ApiKeyEntity, (typeof KEY_COLUMNS)[number]>, TimeColumn> &
  Record<TimeColumn, Date | string | null>;

/**
 * The columns that authentication needs. An unknown, a revoked and an expired key all return no row, so that the time of a
 * rejection does not reveal which of them it was. A canary key returns one; it costs the same query.
 */
const FIND_WORKING_BY_HASH = {
  name: 'key.find-working-by-hash',
  text: `
    SELECT key_id, project_id, role, name, device_id, canary, expires_at, last_used_at, nonce, secret_id
    FROM api_keys WHERE hash = ANY($1::bytea[]) AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > $2)`,
};

/** The hashes of the working keys that were used last. No index has this order: a server reads it once, when it starts. */
const FIND_LAST_USED = `
  SELECT hash FROM api_keys
  WHERE last_used_at IS NOT NULL AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > now()) AND NOT canary
  ORDER BY last_used_at DESC LIMIT $1`;

/** A key as authentication needs it. */
export type AuthenticationKey = Pick<
  ApiKeyEntity,
  | 'key_id'
  | 'project_id'
  | 'role'
  | 'name'
  | 'device_id'
  | 'canary'
  | 'expires_at'
  | 'last_used_at'
  | 'nonce'
  | 'secret_id'
>;

type AuthenticationRow = Omit<AuthenticationKey, 'expires_at' | 'last_used_at'> &
  Record<'expires_at' | 'last_used_at', string | null>;

const INSERT = `
  INSERT INTO api_keys (${NEW_KEY_COLUMNS.join(', ')})
  VALUES (${NEW_KEY_COLUMNS.map((_, index) => `$${String(index + 1)}`).join(', ')})`;

const LOCK = `
  SELECT ${KEY_COLUMNS.join(', ')} FROM api_keys
  WHERE key_id = $1 AND project_id IS NOT DISTINCT FROM $2::int FOR UPDATE`;

/** In the order of their ids: of two transactions that lock them at once, one waits and then sees the other's change. */
const LOCK_WORKING_OPERATOR_KEYS = `
  SELECT key_id FROM api_keys
  WHERE project_id IS NULL AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > now())
  ORDER BY key_id FOR UPDATE`;

const UPDATE = `UPDATE api_keys SET name = $2, expires_at = $3 WHERE key_id = $1 RETURNING ${KEY_COLUMNS.join(', ')}`;

/** The keys of the first start are not printed any more once one of them is rotated: its owner has the new one. */
const EXPIRE_BY = `UPDATE api_keys SET expires_at = least(expires_at, $2), nonce = NULL WHERE key_id = $1`;

/** The channel on which every server listens. The payload is the id of the key, so it is short, whatever has changed. */
export const KEY_CHANGES = 'stowage_key_changes';

/** Reaches the servers when the transaction commits, and never if it is rolled back. */
const NOTIFY = `SELECT pg_notify('${KEY_CHANGES}', id) FROM unnest($1::text[]) AS id`;

const REVOKE = `UPDATE api_keys SET revoked_at = now() WHERE key_id = $1`;

const REVOKE_OF_DEVICE = `UPDATE api_keys SET revoked_at = now() WHERE device_id = $1 AND revoked_at IS NULL RETURNING key_id`;

const DELETE_OF_PROJECT = `DELETE FROM api_keys WHERE project_id = $1 RETURNING key_id`;

/** One statement: a failure between the time of use and the nonces would keep the nonces until another first use. */
const RECORD_USE = `
  UPDATE api_keys SET last_used_at = CASE WHEN key_id = $1 THEN $2::timestamptz ELSE last_used_at END, nonce = NULL
  WHERE key_id = $1 OR (nonce IS NOT NULL AND ($3::boolean OR (role = $4 AND project_id IS NOT DISTINCT FROM $5::int)))`;

/** Writes once in a minute, however many servers use the key. */
const RECORD_TIME_OF_USE = {
  name: 'key.record-time-of-use',
  text: `
    UPDATE api_keys SET last_used_at = $2
    WHERE key_id = $1 AND (last_used_at IS NULL OR last_used_at <= $2::timestamptz - interval '1 minute')`,
};

const UPDATE_HASH = `UPDATE api_keys SET hash = $2, secret_id = $3 WHERE key_id = $1`;

const LIST_OF_OTHER_SECRETS = `
  SELECT key_id, project_id, role, name, canary, last_used_at, count(*) OVER () AS count
  FROM api_keys
  WHERE secret_id IS DISTINCT FROM $1 AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > now())
  ORDER BY api_keys.key_id LIMIT $2`;

/** A key that works, but not with the current secret alone. */
export interface KeyOfOtherSecret extends Pick<ApiKeyEntity, 'key_id' | 'project_id' | 'role' | 'name' | 'canary'> {
  last_used_at: string | null;
}

const FIND_WITH_PROJECT = `
  SELECT k.key_id, k.name, k.role, k.device_id, k.expires_at, p.project_id, p.name AS project_name
  FROM api_keys AS k LEFT JOIN projects AS p USING (project_id)
  WHERE k.key_id = $1 AND k.revoked_at IS NULL`;

interface KeyWithProject extends Pick<KeyRow, 'key_id' | 'name' | 'role' | 'device_id' | 'expires_at'> {
  project_id: number | null;
  project_name: string;
}

/** The rows of `api_keys`. Where a method takes a `projectId`, null means the operator keys, which belong to no project. */
@Injectable()
export class KeyStore {
  constructor(
    @InjectRepository(ApiKeyEntity) private readonly keys: Repository<ApiKeyEntity>,
    private readonly database: Database,
    private readonly config: Config,
  ) {}

  /** Returns the hashes of up to `count` working keys, the one that was used last first. */
  async findLastUsed(count: number): Promise<Buffer[]> {
    const rows = await this.database.query<Pick<ApiKeyEntity, 'hash'>>(FIND_LAST_USED, [count]);
    return rows.map(({ hash }) => hash);
  }

  async insert(row: NewKeyRow, tx: Queryable): Promise<void> {
    await tx.query(
      INSERT,
      NEW_KEY_COLUMNS.map((column) => row[column]),
    );
  }

  /** Returns the key with one of these hashes, also a canary; null where it is unknown, revoked or expired. Uses a reserved connection. */
  async findWorkingByHash(hashes: readonly Buffer[], at: Date): Promise<AuthenticationKey | null> {
    const { reserved } = this.database;
    const [row] = await this.database.retrying(() =>
      reserved.query<AuthenticationRow>(FIND_WORKING_BY_HASH, [hashes, at]),
    );
    if (row === undefined) return null;
    return { ...row, expires_at: toDate(row.expires_at), last_used_at: toDate(row.last_used_at) };
  }

  /** Whether a key with one of these hashes was ever created. */
  existsByHash(hashes: readonly Buffer[]): Promise<boolean> {
    return this.keys.existsBy({ hash: In(hashes) });
  }

  /** Whether a key with this role was ever created. */
  existsByRole(projectId: number | null, role: Role): Promise<boolean> {
    return this.keys.existsBy({ role, project_id: projectId ?? IsNull() });
  }

  /** Stores the hash of a key with the current secret, so that the previous one is not needed for it. Uses a reserved connection. */
  async updateHash(keyId: string, hash: Buffer, secretId: string): Promise<void> {
    await this.database.reserved.query(UPDATE_HASH, [keyId, hash, secretId]);
  }

  /** Lists the oldest keys that need, or may need, another secret than this one, and counts all of them. */
  async listOfOtherSecrets(secretId: string, limit: number): Promise<{ keys: KeyOfOtherSecret[]; count: number }> {
    const rows = await this.database.query<KeyOfOtherSecret & { count: string }>(LIST_OF_OTHER_SECRETS, [
      secretId,
      limit,
    ]);
    return { keys: rows, count: Number(rows[0]?.count ?? 0) };
  }

  /** Returns the keys of the first start, unless one of them has been used. */
  findFirst(): Promise<ApiKeyEntity[]> {
    return this.keys.findBy({ nonce: Not(IsNull()), revoked_at: IsNull() });
  }

  /** Returns null for a key that is unknown or of another project. */
  async find(projectId: number | null, keyId: string): Promise<KeyDto | null> {
    if (!isSeq(keyId)) return null;
    const key = await this.keys.findOneBy({ key_id: keyId, project_id: projectId ?? IsNull() });
    return key === null ? null : toKeyDto(key);
  }

  /** Returns null for a revoked key. */
  async findWithProject(keyId: string): Promise<MeDto | null> {
    const [key] = await this.database.query<KeyWithProject>(FIND_WITH_PROJECT, [keyId]);
    if (key === undefined) return null;
    const { key_id, name, role, project_id, project_name, device_id, expires_at } = key;
    const project = project_id === null ? null : { project_id, name: project_name };
    return { key_id, name, role, project, device_id, expires_at: toTime(expires_at) };
  }

  /** Lists the keys, also those that are expired or revoked, newest first. */
  async list(
    projectId: number | null,
    page: PageRequest,
  ): Promise<{ slice: Slice<KeyDto & { seq: string }>; count: Count }> {
    const list: ListSql = {
      select: `key_id AS seq, ${KEY_COLUMNS.join(', ')}`,
      from: 'api_keys',
      where: projectId === null ? 'project_id IS NULL' : 'project_id = $1',
      seq: 'key_id',
      values: projectId === null ? [] : [projectId],
    };
    const { countCap } = this.config.limits;
    const { slice, count } = await readPage<KeyRow & { seq: string }>(this.database, list, page, countCap);
    const items = slice.items.map((row) => ({ seq: row.seq, ...toKeyDto(row) }));
    return { slice: { ...slice, items }, count };
  }

  /** Locks a key until the end of the transaction. Returns null for one that is unknown or of another project. */
  async lock(projectId: number | null, keyId: string, tx: Queryable): Promise<KeyDto | null> {
    if (!isSeq(keyId)) return null;
    const [key] = await tx.query<KeyRow>(LOCK, [keyId, projectId]);
    return key === undefined ? null : toKeyDto(key);
  }

  /** Locks the operator keys that are neither revoked nor expired, and returns their ids. */
  async lockWorkingOperatorKeys(tx: Queryable): Promise<string[]> {
    const keys = await tx.query<Pick<ApiKeyEntity, 'key_id'>>(LOCK_WORKING_OPERATOR_KEYS);
    return keys.map(({ key_id }) => key_id);
  }

  /** Changes a key that is locked. */
  async update(
    keyId: string,
    { name, expires_at }: Pick<KeyDto, 'name' | 'expires_at'>,
    tx: Queryable,
  ): Promise<KeyDto> {
    const [key] = await tx.query<KeyRow>(UPDATE, [keyId, name, expires_at]);
    if (key === undefined) throw new Error('the key is not locked');
    await notify([keyId], tx);
    return toKeyDto(key);
  }

  /** Makes a key stop working at this time, unless it does earlier. */
  async expireBy(keyId: string, at: Date, tx: Queryable): Promise<void> {
    await tx.query(EXPIRE_BY, [keyId, at]);
    await notify([keyId], tx);
  }

  async revoke(keyId: string, tx: Queryable): Promise<void> {
    await tx.query(REVOKE, [keyId]);
    await notify([keyId], tx);
  }

  /** @returns the ids of the keys that it revoked */
  async revokeOfDevice(deviceId: string, tx: Queryable): Promise<string[]> {
    const revoked = await tx.query<Pick<ApiKeyEntity, 'key_id'>>(REVOKE_OF_DEVICE, [deviceId]);
    const keyIds = revoked.map(({ key_id }) => key_id);
    await notify(keyIds, tx);
    return keyIds;
  }

  /** Deletes all keys of a project, also revoked ones and canaries. @returns their ids */
  async deleteOfProject(projectId: number, tx: Queryable): Promise<string[]> {
    const deleted = await tx.query<Pick<ApiKeyEntity, 'key_id'>>(DELETE_OF_PROJECT, [projectId]);
    const keyIds = deleted.map(({ key_id }) => key_id);
    await notify(keyIds, tx);
    return keyIds;
  }

  /**
   * Stores the time of use. No later start can derive, and print, the keys of the first start that this use makes unnecessary:
   * all of them after the use of one, otherwise those with the same role and project. Uses a reserved connection.
   */
  async recordUse({ key_id, role, project_id, nonce }: AuthenticationKey, at: Date): Promise<void> {
    const { reserved } = this.database;
    // Keys of other roles, of which there may be many, need no scan of the table.
    const mayReplaceFirst = nonce !== null || role === 'admin' || role === 'operator';
    if (!mayReplaceFirst) await this.recordTimeOfUse(key_id, at);
    else await reserved.query(RECORD_USE, [key_id, at, nonce !== null, role, project_id]);
  }

  /** Stores the time of use of a key that has been used before. Uses a reserved connection. */
  async recordTimeOfUse(keyId: string, at: Date): Promise<void> {
    await this.database.reserved.query(RECORD_TIME_OF_USE, [keyId, at]);
  }
}

async function notify(keyIds: readonly string[], tx: Queryable): Promise<void> {
  if (keyIds.length > 0) await tx.query(NOTIFY, [keyIds]);
}

export function toKeyDto(key: KeyRow): KeyDto {
  const { key_id, name, role, prefix, device_id, canary } = key;
  const [expires_at, revoked_at] = [toTime(key.expires_at), toTime(key.revoked_at)];
  return {
    key_id,
    name,
    role,
    prefix,
    status: statusOf(expires_at, revoked_at),
    device_id,
    canary,
    created_at: timeOfSeq(key_id),
    expires_at,
    revoked_at,
    last_used_at: toTime(key.last_used_at),
  };
}

function statusOf(expiresAt: string | null, revokedAt: string | null): KeyStatus {
  if (revokedAt !== null) return 'revoked';
  return expiresAt !== null && Date.parse(expiresAt) <= Date.now() ? 'expired' : 'active';
}

export function toDate(time: string | null): Date | null {
  return time === null ? null : new Date(time);
}

export function toTime(time: Date | string | null): string | null {
  return time === null ? null : new Date(time).toISOString();
}
