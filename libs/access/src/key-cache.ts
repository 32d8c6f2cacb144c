import { type Database, NotificationListener, type NotificationTimes } from '#database';
import type { Principal } from '#http';
import { Logger, type OnApplicationShutdown } from '@nestjs/common';
import { LRUCache } from 'lru-cache';
import { KEY_CHANGES, type AuthenticationKey } from './key.store.js';

/**
 * How long a key is used without a look-up where changes of keys are not announced. A second less than the bound for a change:
 * a request in progress and a slow timer take time too.
 */
const UNANNOUNCED_TTL_MS = 4_000;
/** The same where they are announced: it bounds the effect of a change by SQL, which announces nothing. */
const ANNOUNCED_TTL_MS = 10 * 60_000;
/** About 50 MB when all of them are in use: 475 bytes each, measured. */
const CACHED_KEYS_MAX = 100_000;

/** A key that was looked up and worked. */
export interface CachedKey {
  principal: Principal;
  /** Infinity for a key that does not expire. */
  expiresAtMs: number;
  /** When this process, or another one before the look-up, recorded a use; 0 for never. */
  usedAtMs: number;
  /** The row, until this process has recorded a use of it: the first use does more than later ones. */
  unrecorded: AuthenticationKey | null;
  lookUp: LookUp;
}

/** The state of the cache before a look-up, without which a row that was read before a change would enter after it. */
export interface LookUp {
  changes: number;
  session: number;
  atMs: number;
}

/**
 * The keys that worked when this process looked them up, by their hash. Each change of a key notifies every server in its
 * transaction. While notifications arrive, a key is looked up once in 10 minutes; otherwise, and for every key that was looked
 * up before a connection was lost, the limit is 4 seconds. Both hold the bound of 5 seconds for a change.
 */
export class KeyCache implements OnApplicationShutdown {
  private changes = 0;
  /** The hash of each key in the cache. */
  private readonly hashes = new Map<string, string>();
  private readonly entries = new LRUCache<string, CachedKey>({
    max: CACHED_KEYS_MAX,
    dispose: ({ principal }) => this.hashes.delete(principal.keyId),
  });
  private readonly listener: NotificationListener;

  /** @param times other than the default ones in tests */
  constructor(database: Database, times?: NotificationTimes) {
    this.listener = new NotificationListener(
      database,
      KEY_CHANGES,
      (keyId) => {
        this.forget(keyId);
      },
      new Logger('keys'),
      times,
    );
  }

  /** Listens for changes that other processes make; only a server needs this. */
  listen(): void {
    this.listener.start();
  }

  onApplicationShutdown(): Promise<void> {
    return this.listener.stop();
  }

  has(hash: string): boolean {
    return this.entries.has(hash);
  }

  /** Returns undefined for a key that must be looked up. */
  find(hash: string): CachedKey | undefined {
    const entry = this.entries.get(hash);
    if (entry === undefined) return undefined;
    const { atMs, session } = entry.lookUp;
    const nowMs = performance.now();
    const ttlMs = this.listener.isCurrent(session, nowMs) ? ANNOUNCED_TTL_MS : UNANNOUNCED_TTL_MS;
    return nowMs - atMs < ttlMs && Date.now() < entry.expiresAtMs ? entry : undefined;
  }

  /** Call it before a look-up whose result enters the cache. */
  beginLookUp(): LookUp {
    return { changes: this.changes, session: this.listener.session, atMs: performance.now() };
  }

  /** Stores a key, unless a key has changed since its look-up began. */
  store(hash: string, key: CachedKey): void {
    if (key.lookUp.changes !== this.changes) return;
    this.entries.set(hash, key);
    this.hashes.set(key.principal.keyId, hash);
  }

  /** Removes a key that was looked up and does not work any more. */
  remove(hash: string): void {
    this.entries.delete(hash);
  }

  /** Removes the key with this id, if any, because it has changed. */
  forget(keyId: string): void {
    this.changes++;
    const hash = this.hashes.get(keyId);
    if (hash !== undefined) this.entries.delete(hash);
  }
}
