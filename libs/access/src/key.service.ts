import { randomBytes } from 'node:crypto';
import { Config } from '#platform';
import { Database, Sequence, timeOfSeq, type Queryable } from '#database';
import {
  Problem,
  readSlice,
  countRows,
  type Count,
  type ListSql,
  type PageRequest,
  type Principal,
  type Role,
  type Slice,
} from '#http';
import { Injectable } from '@nestjs/common';
import { InjectRepository } from '@nestjs/typeorm';
import { LRUCache } from 'lru-cache';
import { IsNull, Not, Repository } from 'typeorm';
import type { CreatedKeyDto, CreateKeyDto, KeyDto } from './access.dto.js';
import { ApiKeyEntity } from './api-key.entity.js';
import { deriveKey, hashOf, makeKey, mayBeKey, prefixOf } from './api-key.js';
import { KeySecret } from './key-secret.js';

/** How long another process may go on taking a key that was revoked here, and a key's last use lags behind. */
const CACHE_TTL_MS = 5_000;
const CACHED_KEYS_MAX = 10_000;
const LAST_USED_STEP_MS = 60_000;

const INSERT = `
  INSERT INTO api_keys (key_id, project_id, role, name, prefix, hash, device_id, expires_at, nonce)
  VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)`;

/** Under this lock the device stays in its project until the key is stored; a move waits, and then revokes the key too. */
const LOCK_DEVICE = `SELECT FROM devices WHERE device_id = $1 AND project_id = $2 FOR SHARE`;

const REVOKE_OF_DEVICE = `UPDATE api_keys SET revoked_at = now() WHERE device_id = $1 AND revoked_at IS NULL`;

interface KnownKey {
  principal: Principal;
  expiresAtMs: number;
}

export interface NewKey {
  projectId: number | null;
  role: Role;
  name: string;
  expiresAt?: Date | null;
  deviceId?: string | null;
}

@Injectable()
export class KeyService {
  private revocations = 0;
  private readonly known = new LRUCache<string, KnownKey>({ max: CACHED_KEYS_MAX, ttl: CACHE_TTL_MS });

  constructor(
    @InjectRepository(ApiKeyEntity) private readonly keys: Repository<ApiKeyEntity>,
    private readonly database: Database,
    private readonly sequence: Sequence,
    private readonly secret: KeySecret,
    private readonly config: Config,
  ) {}

  /** Who presents this key; null for one that is unknown, revoked, expired or mistyped, which must look alike. */
  async authenticate(key: string): Promise<Principal | null> {
    if (!mayBeKey(key)) return null;
    const hash = hashOf(key, this.secret.value);
    const id = hash.toString('latin1');
    let known = this.known.get(id);
    const { revocations } = this;
    if (known === undefined) {
      const row = await this.database.retrying(() => this.keys.findOneBy({ hash }));
      if (row === null || row.revokedAt !== null) return null;
      known = {
        principal: { keyId: row.keyId, role: row.role, projectId: row.projectId, deviceId: row.deviceId },
        expiresAtMs: row.expiresAt?.getTime() ?? Infinity,
      };
      // Not one that was read before a revocation and arrives after it.
      if (revocations === this.revocations) this.known.set(id, known);
      await this.noteUse(row);
    }
    return known.expiresAtMs > Date.now() ? known.principal : null;
  }

  /** What a body asks for, checked beyond what its fields say one by one. @throws Problem invalid-body */
  async createFromBody(projectId: number, body: CreateKeyDto): Promise<CreatedKeyDto> {
    const expiresAt = body.expires_at == null ? null : asDate(body.expires_at);
    const deviceId = body.device_id ?? null;
    if (expiresAt !== null && expiresAt.getTime() <= Date.now()) refuse('/expires_at', 'must be in the future');
    if (body.role === 'device' && deviceId === null) refuse('/device_id', 'is required for the role device');
    if (body.role !== 'device' && deviceId !== null) refuse('/device_id', 'goes with the role device only');
    const made = { projectId, role: body.role, name: body.name, expiresAt, deviceId };
    if (deviceId === null) return this.create(made);
    return this.database.transaction(async (tx) => {
      const devices = await tx.query(LOCK_DEVICE, [deviceId, projectId]);
      if (devices.length === 0) refuse('/device_id', 'names no device of this project');
      return this.create(made, tx);
    });
  }

  /** Makes a key; the answer is the only place where it is ever seen. */
  create(made: NewKey, on: Queryable = this.database): Promise<CreatedKeyDto> {
    return this.insert(made, makeKey(made.role), on);
  }

  /** Creates a key that `listFirstKeys` returns until one of these keys is used. */
  async createFirst(made: NewKey): Promise<void> {
    const nonce = randomBytes(32);
    await this.insert(made, deriveKey(made.role, this.secret.value, nonce), this.database, nonce);
  }

  /** The keys of the first start, as long as none of them has been used. */
  async listFirstKeys(): Promise<{ role: Role; key: string }[]> {
    const rows = await this.keys.findBy({ nonce: Not(IsNull()), revokedAt: IsNull() });
    return rows.flatMap(({ role, nonce, hash }) => {
      if (nonce === null) return [];
      const key = deriveKey(role, this.secret.value, nonce);
      // With another secret the key would not be accepted.
      return hashOf(key, this.secret.value).equals(hash) ? [{ role, key }] : [];
    });
  }

  private async insert(made: NewKey, key: string, on: Queryable, nonce: Buffer | null = null): Promise<CreatedKeyDto> {
    const row: ApiKeyEntity = {
      expiresAt: null,
      deviceId: null,
      ...made,
      keyId: this.sequence.next().toString(),
      prefix: prefixOf(key),
      hash: hashOf(key, this.secret.value),
      revokedAt: null,
      lastUsedAt: null,
      nonce,
    };
    const { keyId, projectId, role, name, prefix, hash, deviceId, expiresAt } = row;
    await on.query(INSERT, [keyId, projectId, role, name, prefix, hash, deviceId, expiresAt, nonce]);
    return { ...toDto(row), key };
  }

  /** Makes sure that a key which a setting gives exists; leaves it alone when it does, also when it was revoked. */
  async ensure(made: NewKey, key: string): Promise<void> {
    if (await this.keys.existsBy({ hash: hashOf(key, this.secret.value) })) return;
    await this.insert(made, key, this.database);
  }

  /** Whether there ever was a key of this role, in this project. */
  exists({ role, projectId }: Pick<NewKey, 'role' | 'projectId'>): Promise<boolean> {
    return this.keys.existsBy({ role, projectId: projectId ?? IsNull() });
  }

  /**
   * Lists keys, newest first, without the revoked ones.
   * @param projectId null lists the operator keys, which belong to no project
   */
  async list(
    projectId: number | null,
    page: PageRequest,
  ): Promise<{ slice: Slice<KeyDto & { seq: string }>; count: Count }> {
    const list: ListSql = {
      select: `key_id AS seq, key_id::text, name, role, prefix, device_id, expires_at, last_used_at`,
      from: 'api_keys',
      where: `${projectId === null ? 'project_id IS NULL' : 'project_id = $1'} AND revoked_at IS NULL`,
      seq: 'key_id',
      values: projectId === null ? [] : [projectId],
    };
    const slice = await readSlice<KeyDto & { seq: string }>(this.database, list, page);
    for (const item of slice.items) item.created_at = timeOfSeq(item.seq);
    return { slice, count: await countRows(this.database, list, page.count, this.config.limits.countCap) };
  }

  /**
   * Revokes a key: at once in this process, in others when their cache expires (5 seconds).
   * @param projectId the key's project; null for an operator key
   * @throws Problem not-found
   */
  async revoke(projectId: number | null, keyId: string): Promise<void> {
    const isId = /^\d{1,19}$/.test(keyId) && BigInt(keyId) < 2n ** 63n;
    const { affected } = await this.keys.update(
      { keyId: isId ? keyId : '0', projectId: projectId ?? IsNull(), revokedAt: IsNull() },
      { revokedAt: new Date() },
    );
    if (affected !== 1) {
      const detail = projectId === null ? 'There is no such operator key.' : 'There is no such key in this project.';
      throw new Problem('not-found', { detail });
    }
    this.forget((principal) => principal.keyId === keyId);
  }

  /** All keys of the device stop working when the transaction is committed; call `forgetDevice` then. */
  async revokeOfDevice(deviceId: string, tx: Queryable): Promise<void> {
    await tx.query(REVOKE_OF_DEVICE, [deviceId]);
  }

  /** Looks the keys of the device up anew from now on. */
  forgetDevice(deviceId: string): void {
    this.forget((principal) => principal.deviceId === deviceId);
  }

  private forget(which: (principal: Principal) => boolean): void {
    this.revocations++;
    for (const [id, { principal }] of this.known.entries()) if (which(principal)) this.known.delete(id);
  }

  /** To the minute: a write a request would cost more than the request. */
  private async noteUse(row: ApiKeyEntity): Promise<void> {
    const now = new Date();
    if (row.lastUsedAt !== null && now.getTime() - row.lastUsedAt.getTime() < LAST_USED_STEP_MS) return;
    // Nobody's request may fail for it: a disk that is full must not stop the reads.
    await this.keys.update({ keyId: row.keyId }, { lastUsedAt: now }).catch(() => undefined);
    // One of the keys of the first start is in use: no later start prints any of them.
    if (row.nonce !== null) await this.keys.update({ nonce: Not(IsNull()) }, { nonce: null }).catch(() => undefined);
  }
}

function refuse(pointer: string, detail: string): never {
  throw new Problem('invalid-body', { detail: `${pointer} ${detail}.`, errors: [{ pointer, detail }] });
}

/** A time that was checked already; without a zone it is UTC. */
function asDate(time: string): Date {
  return new Date(/(?:[Zz]|[+-]\d\d:\d\d)$/.test(time) ? time : `${time}Z`);
}

function toDto(row: ApiKeyEntity): KeyDto {
  return {
    key_id: row.keyId,
    name: row.name,
    role: row.role,
    prefix: row.prefix,
    device_id: row.deviceId,
    created_at: timeOfSeq(row.keyId),
    expires_at: row.expiresAt?.toISOString() ?? null,
    last_used_at: row.lastUsedAt?.toISOString() ?? null,
  };
}
