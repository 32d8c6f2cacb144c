import { setTimeout as sleep } from 'node:timers/promises';
import { Database } from '#database';
import { Config, EventLoopYield } from '#platform';
import { Injectable, type OnApplicationShutdown, type OnModuleInit } from '@nestjs/common';
import { dataKeysOf, type DataKey } from './data-key.js';
import { RECORD_USE, requireDataKeys } from './data-key-use.js';
import { openPairs, sealPairs } from './sealed-pairs.js';
import { SEALED_PREFIX } from './sealed-value.js';

/**
 * How often a process reads the lists. They change a few times in the life of a project, and a notification would need one more
 * connection for each process.
 */
const READ_EVERY_MS = 1_000;
/** A write whose process has read no list for this long reads them first. */
const CURRENT_FOR_MS = 5_000;
/**
 * A list applies to every transaction that begins this long after its change, on every server: `CURRENT_FOR_MS`, and the time for which a
 * write may wait for a connection after it was sealed. Transactions that have begun before may store plain values whenever they commit.
 */
export const LIST_APPLIES_AFTER_MS = 60_000;

/** $1: the id of the data key. */
const LISTS = {
  name: 'encryption.lists',
  text: `
    WITH used AS (${RECORD_USE})
    SELECT project_id, encrypted_keys FROM projects
    WHERE encryption_key_id IS NOT NULL AND encrypted_keys IS NOT NULL`,
};

interface ListRow {
  project_id: number;
  encrypted_keys: string[];
}

/**
 * Encrypts and decrypts the values of the keys that a project lists. Without STOWAGE_DATA_KEY, and for a project without a list,
 * writes are not looked at; reads are opened whether there is a list or not.
 */
@Injectable()
export class EncryptedKeys implements OnModuleInit, OnApplicationShutdown {
  /** Null without STOWAGE_DATA_KEY. */
  readonly current: DataKey | null;
  /** The current data key first. */
  readonly dataKeys: readonly DataKey[];
  private lists: ReadonlyMap<number, ReadonlySet<string>> = new Map();
  private readAtMs = -Infinity;
  private reading: Promise<void> | undefined;
  private readonly reserved = new Set<string>();
  private readonly stopping = new AbortController();
  private polling: Promise<void> | undefined;

  constructor(
    private readonly database: Database,
    config: Config,
  ) {
    this.dataKeys = dataKeysOf(config);
    this.current = this.dataKeys[0] ?? null;
  }

  async onModuleInit(): Promise<void> {
    await requireDataKeys(this.database, this.dataKeys);
    if (this.current === null) return;
    await this.read();
    this.polling = this.poll();
  }

  async onApplicationShutdown(): Promise<void> {
    this.stopping.abort();
    await this.polling;
  }

  /** Adds keys that no list may have, because a feed needs their values in SQL. */
  reserve(...keys: string[]): void {
    for (const key of keys) this.reserved.add(key);
  }

  isReserved(key: string): boolean {
    return this.reserved.has(key);
  }

  /** The keys whose values are sealed; null for none. */
  listOf(projectId: number): ReadonlySet<string> | null {
    return this.lists.get(projectId) ?? null;
  }

  /** Seals the listed keys of an object's `data`, a list of pairs. */
  seal(projectId: number, objectId: string, data: string): string {
    const keys = this.lists.get(projectId);
    return keys === undefined || this.current === null
      ? data
      : sealPairs(this.current, { projectId, objectId }, keys, data);
  }

  /** The same for objects that are to be stored. Call it as late as possible, because the list may change. */
  sealObjects<T extends { objectId: string; data: string }>(projectId: number, objects: readonly T[]): readonly T[] {
    if (!this.lists.has(projectId)) return objects;
    return objects.map((object) => ({ ...object, data: this.seal(projectId, object.objectId, object.data) }));
  }

  /** Opens the sealed values of an object's `data`, a list of pairs. */
  open(projectId: number, objectId: string, data: string): string {
    return this.current === null ? data : openPairs(this.dataKeys, { projectId, objectId }, data);
  }

  /** The same for the objects of a response; other requests are served in between. Rows may have no data. */
  async openRows<Row extends { object_id: string; data: string | null }>(
    projectId: number,
    rows: readonly Row[],
  ): Promise<readonly Row[]> {
    if (this.current === null || !rows.some(({ data }) => data?.includes(SEALED_PREFIX))) return rows;
    const turns = new EventLoopYield(projectId);
    const opened: Row[] = [];
    for (const row of rows) {
      opened.push(row.data === null ? row : { ...row, data: this.open(projectId, row.object_id, row.data) });
      if (turns.isDue) await turns.yield();
    }
    return opened;
  }

  /** Call it before a write: a process that could not read the lists does so now, or the write fails. */
  async requireLists(): Promise<void> {
    if (this.current !== null && performance.now() - this.readAtMs > CURRENT_FOR_MS) await this.read();
  }

  /** Reads the lists, for example because one has changed. */
  async read(): Promise<void> {
    if (this.current === null) return;
    // A read that has begun before may not have seen the change.
    await this.reading?.catch(() => undefined);
    this.reading ??= this.readNow().finally(() => (this.reading = undefined));
    await this.reading;
  }

  private async readNow(): Promise<void> {
    const startedAtMs = performance.now();
    const rows = await this.database.reserved.query<ListRow>(LISTS, [this.current?.id]);
    this.lists = new Map(rows.map((row) => [row.project_id, new Set(row.encrypted_keys)]));
    this.readAtMs = startedAtMs;
  }

  private async poll(): Promise<void> {
    const { signal } = this.stopping;
    const pause = (): Promise<boolean> => sleep(READ_EVERY_MS, true, { signal, ref: false }).catch(() => false);
    // Without the database the lists become too old, and then writes fail.
    while (await pause()) await this.read().catch(() => undefined);
  }
}
