import type { Principal } from '#http';
import { mayBeKey } from '#platform';
import { Injectable } from '@nestjs/common';
import { LRUCache } from 'lru-cache';
import { hashOf } from './api-key.js';
import type { CanaryKey } from './canary-alerts.js';
import { KeyCache, type CachedKey } from './key-cache.js';
import { KeySecret } from './key-secret.js';
import { KeyStore } from './key.store.js';

const WORKED_KEYS_MAX = 10_000;
const LAST_USED_STEP_MS = 60_000;
/** Uses that are recorded at a time while requests continue; a request that finds no room leaves it to the next one. */
const RECORDINGS_MAX = 16;

/** Finds the principals of the keys that requests send, and records the use of these keys. */
@Injectable()
export class KeyVerifier {
  private recordings = 0;
  /**
   * The hashes of keys that worked when they were last looked up, also of those that have left the cache, and of those that
   * were in use when this process started.
   */
  private readonly worked = new LRUCache<string, true>({ max: WORKED_KEYS_MAX });

  constructor(
    private readonly store: KeyStore,
    private readonly cache: KeyCache,
    private readonly secret: KeySecret,
  ) {}

  /**
   * Returns the principal of a key; null for a key that is unknown, malformed, revoked or expired. A working key is looked up
   * when the cache does not have it. A rejected key costs one query each time, whatever the reason, so that the time does not
   * reveal the reason.
   */
  async authenticate(key: string): Promise<Principal | CanaryKey | null> {
    if (!mayBeKey(key)) return null;
    const hash = hashOf(key, this.secret.value);
    const cacheKey = hash.toString('latin1');
    const cached = this.cache.find(cacheKey);
    if (cached !== undefined) {
      // The request does not wait: nothing else needs the database.
      if (isUseDue(cached) && this.recordings < RECORDINGS_MAX) void this.recordUse(cached);
      return cached.principal;
    }
    const lookUp = this.cache.beginLookUp();
    const hashes = [hash, ...this.secret.previous.map((secret) => hashOf(key, secret))];
    const row = await this.store.findWorkingByHash(hashes, new Date(Date.now()));
    if (row === null) {
      this.worked.delete(cacheKey);
      this.cache.remove(cacheKey);
      return null;
    }
    const { key_id: keyId, name: keyName, role, project_id: projectId, device_id: deviceId } = row;
    if (row.canary && projectId !== null) {
      // The request does not wait: its time must not differ from that of an unknown key.
      if (row.secret_id !== this.secret.id && this.recordings < RECORDINGS_MAX) void this.rehash(keyId, hash);
      return { isCanary: true, keyId, keyName, role, projectId };
    }
    this.worked.set(cacheKey, true);
    const principal = { keyId, keyName, role, projectId, deviceId };
    const expiresAtMs = row.expires_at?.getTime() ?? Infinity;
    const found = { principal, expiresAtMs, usedAtMs: row.last_used_at?.getTime() ?? 0, unrecorded: row, lookUp };
    this.cache.store(cacheKey, found);
    if (row.secret_id !== this.secret.id) await this.rehash(keyId, hash);
    if (isUseDue(found)) await this.recordUse(found);
    return principal;
  }

  /**
   * Has `hasWorked` include the keys that were used last, on any server. Without it, a client without a key could lock out all keys of an
   * address after a restart.
   */
  async loadLastUsed(): Promise<void> {
    const hashes = await this.store.findLastUsed(WORKED_KEYS_MAX);
    // The last one that is added is the last one that is forgotten.
    for (const hash of hashes.reverse()) this.worked.set(hash.toString('latin1'), true);
  }

  /** Whether a key worked when this process looked it up last, or was among those that `loadLastUsed` found. */
  hasWorked(key: string): boolean {
    if (!mayBeKey(key)) return false;
    const cacheKey = hashOf(key, this.secret.value).toString('latin1');
    return this.worked.has(cacheKey) || this.cache.has(cacheKey);
  }

  /** Stores the hash with the current secret. Never fails: until it succeeds, the key works by its old hash. */
  private async rehash(keyId: string, hash: Buffer): Promise<void> {
    this.recordings++;
    try {
      await this.store.updateHash(keyId, hash, this.secret.id);
    } catch {
      // The next use tries again.
    } finally {
      this.recordings--;
    }
  }

  /** Stores the time of use to the minute: a write per request would cost more than the request. Never fails. */
  private async recordUse(key: CachedKey): Promise<void> {
    const now = new Date(Date.now());
    key.usedAtMs = now.getTime();
    this.recordings++;
    try {
      if (key.unrecorded === null) await this.store.recordTimeOfUse(key.principal.keyId, now);
      else await this.store.recordUse(key.unrecorded, now);
      key.unrecorded = null;
    } catch {
      // No request fails because of it: a full disk must not stop reads.
    } finally {
      this.recordings--;
    }
  }
}

function isUseDue({ usedAtMs }: CachedKey): boolean {
  return Date.now() - usedAtMs >= LAST_USED_STEP_MS;
}
