import { randomBytes } from 'node:crypto';
import { AuditLog, type Actor, type NewAuditEntry } from '#audit';
import { Database, Sequence, type Queryable } from '#database';
import { checkPreconditions, etagOfJson, Problem, type Preconditions, type Role } from '#http';
import { toUtc } from '#platform';
import { Injectable } from '@nestjs/common';
import { deriveKey, hashOf, makeKey, prefixOf } from './api-key.js';
import { DeviceStore } from './device.store.js';
import {
  OVERLAP_SECONDS_DEFAULT,
  type CreatedKeyDto,
  type CreateKeyDto,
  type KeyDto,
  type RotateKeyDto,
  type UpdateKeyDto,
} from './key.dto.js';
import { KeySecret } from './key-secret.js';
import { KeyCache } from './key-cache.js';
import { KeyStore, toDate, toKeyDto, toTime, type KeyOfOtherSecret, type NewKeyRow } from './key.store.js';
import { PRECONDITION_RULES } from './precondition-rules.js';

export interface NewKey {
  /** null for an operator key. */
  projectId: number | null;
  role: Role;
  name: string;
  expiresAt?: Date | null;
  deviceId?: string | null;
  /** Only for a key of a project. */
  isCanary?: boolean;
}

/** The key that a request or command changes. */
interface KeyTarget {
  /** null for an operator key. */
  projectId: number | null;
  keyId: string;
  actor: Actor;
  /** Absent for a command. */
  preconditions?: Preconditions;
}

/** The key itself, and what it was derived from: null unless it is one of the first start. */
interface NewSecret {
  secret: string;
  nonce: Buffer | null;
}

/** Creates, changes and revokes keys. */
@Injectable()
export class KeyService {
  constructor(
    private readonly store: KeyStore,
    private readonly cache: KeyCache,
    private readonly devices: DeviceStore,
    private readonly audit: AuditLog,
    private readonly database: Database,
    private readonly sequence: Sequence,
    private readonly secret: KeySecret,
  ) {}

  /** Creates a key as a request body describes it. @throws Problem invalid-body for rules about more than one member */
  async createFromBody(projectId: number, body: CreateKeyDto, actor: Actor): Promise<CreatedKeyDto> {
    const expiresAt = parseExpiry(body.expires_at ?? null);
    const deviceId = body.device_id ?? null;
    if (body.role === 'device' && deviceId === null) throw invalid('/device_id', 'is required for the role device');
    if (body.role !== 'device' && deviceId !== null) throw invalid('/device_id', 'is allowed for the role device only');
    const { role, name, canary: isCanary = false } = body;
    const key = { projectId, role, name, expiresAt, deviceId, isCanary };
    return this.database.transaction(async (tx) => {
      if (deviceId !== null && !(await this.devices.lockShared(projectId, deviceId, tx)))
        throw invalid('/device_id', 'must be a device of this project');
      return this.insertRecorded(tx, key, secretOf(key.role), actor);
    });
  }

  /** Creates a key and returns it together with its secret, which is not stored. */
  create(key: NewKey, actor: Actor): Promise<CreatedKeyDto> {
    return this.database.transaction((tx) => this.insertRecorded(tx, key, secretOf(key.role), actor));
  }

  /** The same in a transaction, whose owner appends the entry for the audit log. */
  async createIn(tx: Queryable, key: NewKey, actor: Actor): Promise<{ created: CreatedKeyDto; entry: NewAuditEntry }> {
    const created = await this.insert(tx, key, secretOf(key.role));
    return { created, entry: createdEntry(key, created, actor) };
  }

  /** Creates a key that `listFirstKeys` returns until one of these keys is used. */
  async createFirst(key: NewKey, actor: Actor): Promise<void> {
    const nonce = randomBytes(32);
    const secret = deriveKey(key.role, this.secret.value, nonce);
    await this.database.transaction((tx) => this.insertRecorded(tx, key, { secret, nonce }, actor));
  }

  /** Returns the keys of the first start, unless one of them has been used. */
  async listFirstKeys(): Promise<{ role: Role; key: string }[]> {
    const rows = await this.store.findFirst();
    return rows.flatMap(({ role, nonce, hash, expires_at }) => {
      if (nonce === null || (expires_at !== null && expires_at.getTime() <= Date.now())) return [];
      // With any other secret the key would not be accepted.
      return this.secret.accepted.flatMap((secret) => {
        const key = deriveKey(role, secret, nonce);
        return hashOf(key, secret).equals(hash) ? [{ role, key }] : [];
      });
    });
  }

  /** Creates the key of a setting unless it exists, or existed and was revoked. */
  async ensure(key: NewKey, secret: string, actor: Actor): Promise<void> {
    if (await this.existsOf(secret)) return;
    await this.database.transaction((tx) => this.insertRecorded(tx, key, { secret, nonce: null }, actor));
  }

  /** Whether the key of a setting exists, or existed and was revoked. */
  existsOf(secret: string): Promise<boolean> {
    return this.store.existsByHash(this.secret.accepted.map((accepted) => hashOf(secret, accepted)));
  }

  /** Whether a key with this role was ever created in this project. */
  exists({ role, projectId }: Pick<NewKey, 'role' | 'projectId'>): Promise<boolean> {
    return this.store.existsByRole(projectId, role);
  }

  /** Lists the oldest keys that stop working when previous secrets are removed, and counts all of them. */
  listOfPreviousSecrets(limit: number): Promise<{ keys: KeyOfOtherSecret[]; count: number }> {
    return this.store.listOfOtherSecrets(this.secret.id, limit);
  }

  /** @param projectId null for an operator key. @throws Problem not-found */
  async get(projectId: number | null, keyId: string): Promise<KeyDto> {
    const key = await this.store.find(projectId, keyId);
    if (key === null) throw notFound(projectId);
    return key;
  }

  /**
   * Changes the name or the expiry of a key, also of an expired one: at once in this process, in others within 5 seconds.
   * @throws Problem invalid-body for an expiry in the past; not-found; key-not-active for a revoked key; precondition-failed
   * @throws Problem last-operator-key for an earlier expiry, unless another operator key works
   */
  async update(target: KeyTarget, { name, expires_at: expiresAt }: UpdateKeyDto): Promise<KeyDto> {
    const { projectId, keyId, actor, preconditions = {} } = target;
    const expiry = expiresAt === undefined ? undefined : toTime(parseExpiry(expiresAt));
    return this.changeKey(keyId, async (tx) => {
      const isLast = projectId === null && (await this.isLastOperatorKey(keyId, tx));
      const key = await this.lock(projectId, keyId, tx);
      if (key.status === 'revoked') throw notActive(key, 'cannot be changed');
      const expires_at = expiry === undefined ? key.expires_at : expiry;
      if (isLast && isEarlier(expires_at, key.expires_at)) throw lastOperatorKey(keyId);
      checkPreconditions(preconditions, etagOfJson(key), PRECONDITION_RULES);
      const changed = await this.store.update(keyId, { name: name ?? key.name, expires_at }, tx);
      const details = changesOf(key, changed);
      if (Object.keys(details).length > 0)
        await this.audit.append(tx, { projectId, actor, action: 'key.update', target: targetOf(keyId), details });
      return changed;
    });
  }

  /**
   * Creates a key with the name, role, device and expiry of another one, which works until the overlap ends, or until its own
   * expiry if that is earlier.
   * @param projectId null for an operator key
   * @returns the new key together with its secret, which is not stored
   * @throws Problem not-found; key-not-active for a revoked or expired key
   */
  async rotate(
    projectId: number | null,
    keyId: string,
    { overlap_seconds: overlapSeconds = OVERLAP_SECONDS_DEFAULT }: RotateKeyDto,
    actor: Actor,
  ): Promise<CreatedKeyDto> {
    const { device_id: deviceId } = await this.get(projectId, keyId);
    return this.changeKey(keyId, async (tx) => {
      // A move of the device waits, and then revokes the new key too; or it was first, and this key is revoked.
      if (projectId !== null && deviceId !== null) await this.devices.lockShared(projectId, deviceId, tx);
      const key = await this.lock(projectId, keyId, tx);
      if (key.status !== 'active') throw notActive(key, 'cannot be rotated');
      await this.store.expireBy(keyId, new Date(Date.now() + overlapSeconds * 1_000), tx);
      // A canary is replaced by another canary: a rotation never makes a key that works of one that does not.
      const { name, role, canary: isCanary } = key;
      const newKey = { projectId, role, name, expiresAt: toDate(key.expires_at), deviceId, isCanary };
      const { created, entry } = await this.createIn(tx, newKey, actor);
      const details = { new_key_id: created.key_id, overlap_seconds: overlapSeconds };
      const rotated = { projectId, actor, action: 'key.rotate' as const, target: targetOf(keyId), details };
      await this.audit.append(tx, rotated, entry);
      return created;
    });
  }

  /**
   * Revokes a key: at once in this process, in others within 5 seconds. A revoked key stays as it is.
   * @throws Problem not-found; precondition-failed
   */
  async revoke(target: KeyTarget): Promise<void> {
    await this.changeKey(target.keyId, (tx) => this.revokeIn(tx, target));
  }

  /**
   * Revokes an operator key unless no other one works: without one, no request can create a project or its first key.
   * @throws Problem not-found; last-operator-key; precondition-failed
   */
  async revokeOperatorKey(target: Omit<KeyTarget, 'projectId'>): Promise<void> {
    const { keyId } = target;
    await this.changeKey(keyId, async (tx) => {
      if (await this.isLastOperatorKey(keyId, tx)) throw lastOperatorKey(keyId);
      await this.revokeIn(tx, { ...target, projectId: null });
    });
  }

  /** Revokes all keys of a device when the transaction is committed; call `forget` then. @returns their ids */
  revokeOfDevice(deviceId: string, tx: Queryable): Promise<string[]> {
    return this.store.revokeOfDevice(deviceId, tx);
  }

  /** Deletes all keys of a project when the transaction is committed; call `forget` then. @returns their ids */
  deleteOfProject(projectId: number, tx: Queryable): Promise<string[]> {
    return this.store.deleteOfProject(projectId, tx);
  }

  /** Removes keys from the cache of this process; others are notified by the transaction that changed them. */
  forget(keyIds: readonly string[]): void {
    for (const keyId of keyIds) this.cache.forget(keyId);
  }

  /** Creates a key in a transaction that does nothing afterwards. */
  private async insertRecorded(tx: Queryable, key: NewKey, secret: NewSecret, actor: Actor): Promise<CreatedKeyDto> {
    const created = await this.insert(tx, key, secret);
    await this.audit.append(tx, createdEntry(key, created, actor));
    return created;
  }

  private async insert(tx: Queryable, key: NewKey, { secret, nonce }: NewSecret): Promise<CreatedKeyDto> {
    const row: NewKeyRow = {
      key_id: this.sequence.next().toString(),
      project_id: key.projectId,
      role: key.role,
      name: key.name,
      prefix: prefixOf(secret),
      hash: hashOf(secret, this.secret.value),
      secret_id: this.secret.id,
      device_id: key.deviceId ?? null,
      canary: key.isCanary ?? false,
      expires_at: key.expiresAt ?? null,
      nonce,
    };
    await this.store.insert(row, tx);
    return { ...toKeyDto({ ...row, revoked_at: null, last_used_at: null }), key: secret };
  }

  /** Runs a transaction that changes a key, and then removes the key from the cache. */
  private async changeKey<T>(keyId: string, work: (tx: Queryable) => Promise<T>): Promise<T> {
    try {
      return await this.database.transaction(work);
    } finally {
      // Also where the outcome of the commit is unknown.
      this.cache.forget(keyId);
    }
  }

  /** Whether this is the only operator key that works. Locks all that work, so that this stays true in the transaction. */
  private async isLastOperatorKey(keyId: string, tx: Queryable): Promise<boolean> {
    const [first, second] = await this.store.lockWorkingOperatorKeys(tx);
    return first === keyId && second === undefined;
  }

  /** @throws Problem not-found */
  private async lock(projectId: number | null, keyId: string, tx: Queryable): Promise<KeyDto> {
    const key = await this.store.lock(projectId, keyId, tx);
    if (key === null) throw notFound(projectId);
    return key;
  }

  private async revokeIn(tx: Queryable, { projectId, keyId, actor, preconditions = {} }: KeyTarget): Promise<void> {
    const key = await this.lock(projectId, keyId, tx);
    checkPreconditions(preconditions, etagOfJson(key), PRECONDITION_RULES);
    if (key.status === 'revoked') return;
    await this.store.revoke(keyId, tx);
    const details = { name: key.name };
    await this.audit.append(tx, { projectId, actor, action: 'key.revoke', target: targetOf(keyId), details });
  }
}

function secretOf(role: Role): NewSecret {
  return { secret: makeKey(role), nonce: null };
}

function targetOf(keyId: string): { type: 'key'; id: string } {
  return { type: 'key', id: keyId };
}

function createdEntry(
  { projectId, deviceId, isCanary = false }: NewKey,
  created: CreatedKeyDto,
  actor: Actor,
): NewAuditEntry {
  const { key_id, name, role, expires_at } = created;
  const device = deviceId == null ? {} : { device_id: deviceId };
  const details = { name, role, expires_at, ...device, ...(isCanary ? { canary: true } : {}) };
  return { projectId, actor, action: 'key.create', target: targetOf(key_id), details };
}

/** The old and new values of the members that a change has changed. */
function changesOf(from: KeyDto, to: KeyDto): Record<string, unknown> {
  const names = (['name', 'expires_at'] as const).filter((name) => from[name] !== to[name]);
  return Object.fromEntries(names.map((name) => [name, { from: from[name], to: to[name] }]));
}

function invalid(pointer: string, detail: string): Problem {
  return new Problem('invalid-body', { detail: `${pointer} ${detail}.`, errors: [{ pointer, detail }] });
}

/** @throws Problem invalid-body unless the time is in the future */
function parseExpiry(text: string | null): Date | null {
  if (text === null) return null;
  const time = new Date(toUtc(text));
  if (time.getTime() <= Date.now()) throw invalid('/expires_at', 'must be in the future');
  return time;
}

/** Whether a key with the first expiry stops working before one with the second; null is never. */
function isEarlier(first: string | null, second: string | null): boolean {
  return first !== null && (second === null || Date.parse(first) < Date.parse(second));
}

function notActive({ status }: KeyDto, consequence: string): Problem {
  return new Problem('key-not-active', {
    detail: `The key is ${status}, so it ${consequence}; create another key instead.`,
  });
}

function notFound(projectId: number | null): Problem {
  const detail = projectId === null ? 'Operator key not found.' : 'Key not found in this project.';
  return new Problem('not-found', { detail });
}

function lastOperatorKey(keyId: string): Problem {
  const detail =
    'No other operator key works. Create one first with `stowage key create --role operator`, or revoke this one on ' +
    `the command line with \`stowage key revoke ${keyId} --operator\`.`;
  return new Problem('last-operator-key', { detail });
}
