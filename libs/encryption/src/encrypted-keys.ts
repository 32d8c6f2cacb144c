import { setTimeout as sleep } from 'node:timers/promises';
import { Database, type Queryable } from '#database';
import { Config, EventLoopYield, MissingDataKeyError } from '#platform';
import { Telemetry } from '#telemetry';
import { Injectable, Logger, type OnApplicationShutdown, type OnModuleInit } from '@nestjs/common';
import { dataKeysOf, type DataKey } from './data-key.js';
import { RECORD_USE, requireDataKeys } from './data-key-use.js';
import { finishPairs, openPairs, resealPairs, sealPairs, type PairsPlace, type PairsWork } from './sealed-pairs.js';
import { isSealedWithOther, SEALED_PREFIX } from './sealed-value.js';
import { UnopenedValues } from './unopened-values.js';

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

/**
 * Every project with encrypted values. A data key that is needed may have no row yet, where a list has just been set. The lists are one
 * text, which is mostly the same as a second before.
 */
const listsOf = (keyIds: string): string => `
  SELECT project_id, json_build_array(encrypted_keys, encryption_removed_keys)::text AS lists, encryption_key_id,
    array(SELECT key_id FROM data_keys WHERE key_id <> ALL (${keyIds}::text[])) AS missing
  FROM projects WHERE encryption_key_id IS NOT NULL`;

/** $1: the id of the data key; $2: the ids of both. */
const LISTS = { name: 'encryption.lists', text: `WITH used AS (${RECORD_USE}) ${listsOf('$2')}` };
/** Without a data key. $1: no ids. */
const LISTS_WITHOUT_KEY = { name: 'encryption.lists-without-key', text: listsOf('$1') };

const READ_LIST = {
  name: 'encryption.list',
  text: `SELECT encrypted_keys, encryption_removed_keys FROM projects WHERE project_id = $1`,
};

/** The list of a project, which nobody changes until the transaction ends. */
const LOCK_LIST = `${READ_LIST.text} FOR SHARE`;

interface ListRow {
  project_id: number;
  lists: string;
  encryption_key_id: string;
  missing: string[];
}

interface StoredLists {
  encrypted_keys: string[] | null;
  encryption_removed_keys: string[] | null;
}

/** The keys that are encrypted, and those that were removed. */
type Lists = [listed: string[] | null, removed: string[] | null];

/** What a process knows of a project with encrypted values. */
interface EncryptedProject {
  /** What the sets were made of. */
  lists: string;
  /** The keys whose values are sealed; null for none. */
  keys: ReadonlySet<string> | null;
  /** Those, and the keys that were removed and whose stored values are still to be opened. */
  unsearchable: ReadonlySet<string>;
}

/**
 * Encrypts and decrypts the values of the keys that a project lists. For a project without a list writes are not looked at; reads are
 * opened whether there is a list or not. A process that does not have all data keys reads and writes no project with encrypted values.
 */
@Injectable()
export class EncryptedKeys implements OnModuleInit, OnApplicationShutdown {
  /** Null without STOWAGE_DATA_KEY. */
  readonly current: DataKey | null;
  /** The current data key first. */
  readonly dataKeys: readonly DataKey[];
  /** The projects with encrypted values. */
  private projects: ReadonlyMap<number, EncryptedProject> = new Map();
  /** The ids of the data keys that are needed and missing. */
  private missing: readonly string[] = [];
  private readonly log = new Logger('encryption');
  private readonly unopened: UnopenedValues;
  private readAtMs = -Infinity;
  private reading: Promise<void> | undefined;
  private readonly stopping = new AbortController();
  private polling: Promise<void> | undefined;

  constructor(
    private readonly database: Database,
    telemetry: Telemetry,
    config: Config,
  ) {
    this.dataKeys = dataKeysOf(config);
    this.current = this.dataKeys[0] ?? null;
    this.unopened = new UnopenedValues(telemetry);
  }

  async onModuleInit(): Promise<void> {
    await requireDataKeys(this.database, this.dataKeys);
    await this.read();
    this.polling = this.poll();
  }

  async onApplicationShutdown(): Promise<void> {
    this.stopping.abort();
    await this.polling;
  }

  /** The ids of data keys that this process needs and does not have; the server that has set them was started later. */
  get missingKeys(): readonly string[] {
    return this.missing;
  }

  /** The projects with encrypted values, where a data key is missing. */
  get unreadableProjects(): readonly number[] {
    return this.missing.length === 0 ? [] : [...this.projects.keys()];
  }

  /** Whether this process has all data keys, or the project has no encrypted values. */
  isReadable(projectId: number): boolean {
    return this.missing.length === 0 || !this.projects.has(projectId);
  }

  /** @throws MissingDataKeyError */
  requireReadable(projectId: number): void {
    if (!this.isReadable(projectId)) throw new MissingDataKeyError();
  }

  /** The keys whose values are sealed; null for none. */
  listOf(projectId: number): ReadonlySet<string> | null {
    return this.projects.get(projectId)?.keys ?? null;
  }

  /**
   * The keys of which no condition can compare values, because some of them may be sealed: those of the list, and those that were removed
   * from it and whose stored values are still to be opened; null for none.
   */
  unsearchableKeysOf(projectId: number): ReadonlySet<string> | null {
    return this.projects.get(projectId)?.unsearchable ?? null;
  }

  /**
   * The same, as it is stored now. For something that was read before with a condition: if it contains a value that was encrypted after the
   * condition was checked, this has the key.
   */
  async readUnsearchableKeys(projectId: number, on: Queryable = this.database): Promise<ReadonlySet<string> | null> {
    return storedKeys(await on.query<StoredLists>(READ_LIST, [projectId]));
  }

  /**
   * The same, and no change of the list until the transaction ends. For something that is stored and needs the values of a key later: where
   * both are changed at the same time, whichever transaction is second sees the change of the first.
   */
  async lockUnsearchableKeys(tx: Queryable, projectId: number): Promise<ReadonlySet<string> | null> {
    return storedKeys(await tx.query<StoredLists>(LOCK_LIST, [projectId]));
  }

  /** Seals the listed keys of an object's `data`, a list of pairs. */
  async seal(projectId: number, objectId: string, data: string): Promise<string> {
    const [sealed] = await this.sealObjects(projectId, [{ objectId, data }]);
    return sealed?.data ?? data;
  }

  /**
   * The same for objects that are to be stored; other requests are served in between. Call it as late as possible, because the list may
   * change.
   */
  async sealObjects<T extends { objectId: string; data: string }>(
    projectId: number,
    objects: readonly T[],
  ): Promise<readonly T[]> {
    this.requireReadable(projectId);
    const { current } = this;
    const keys = this.listOf(projectId);
    if (keys === null || current === null) return objects;
    return convert(projectId, objects, ({ objectId, data }) => sealPairs(current, { projectId, objectId }, keys, data));
  }

  /** Opens the sealed values of an object's `data`, a list of pairs. */
  async open(projectId: number, objectId: string, data: string): Promise<string> {
    const [opened] = await this.openRows(projectId, [{ object_id: objectId, data }]);
    return opened?.data ?? data;
  }

  /** The same for the objects of a response; other requests are served in between. Rows may have no data. */
  async openRows<Row extends { object_id: string; data: string | null }>(
    projectId: number,
    rows: readonly Row[],
  ): Promise<readonly Row[]> {
    this.requireReadable(projectId);
    if (this.current === null || !rows.some(({ data }) => data?.includes(SEALED_PREFIX))) return rows;
    const keys = this.listOf(projectId);
    const unopened: { objectId: string; valueText: string }[] = [];
    const opened = await convert(projectId, rows, ({ object_id: objectId, data }) =>
      data === null
        ? null
        : openPairs(this.dataKeys, { projectId, objectId }, data, (key, valueText) => {
            // Of other keys, and of removed ones, it is a text of a user.
            if (keys?.has(key) === true) unopened.push({ objectId, valueText });
          }),
    );
    if (unopened.some(({ valueText }) => isSealedWithOther(this.dataKeys, valueText))) {
      // Another process may just have begun to use a data key that is missing here. Replicas are read also while the primary is down.
      await this.read().catch(() => undefined);
      this.requireReadable(projectId);
    }
    for (const { objectId } of unopened) this.unopened.add(projectId, objectId);
    return opened;
  }

  /** Seals the values of these keys in stored `data` with the current data key, and opens those of others. */
  async reseal(place: PairsPlace, keys: ReadonlySet<string>, data: string, turns: EventLoopYield): Promise<string> {
    const onUnopened = (): void => {
      this.unopened.add(place.projectId, place.objectId);
    };
    return finishPairs(resealPairs(this.dataKeys, place, keys, data, onUnopened), turns);
  }

  /** Call it before a write: a process that could not read the lists does so now, or the write fails. */
  async requireLists(): Promise<void> {
    if (performance.now() - this.readAtMs > CURRENT_FOR_MS) await this.read();
  }

  /** Reads the lists, for example because one has changed. */
  async read(): Promise<void> {
    // A read that has begun before may not have seen the change.
    await this.reading?.catch(() => undefined);
    this.reading ??= this.readNow().finally(() => (this.reading = undefined));
    await this.reading;
  }

  private async readNow(): Promise<void> {
    const startedAtMs = performance.now();
    const ids = this.dataKeys.map(({ id }) => id);
    const [statement, values] = this.current === null ? [LISTS_WITHOUT_KEY, [ids]] : [LISTS, [this.current.id, ids]];
    const rows = await this.database.reserved.query<ListRow>(statement, values);
    this.projects = new Map(rows.map((row) => [row.project_id, projectOf(row, this.projects.get(row.project_id))]));
    const needed = new Set(rows.flatMap((row) => [row.encryption_key_id, ...row.missing]));
    this.setMissing([...needed].filter((id) => !ids.includes(id)).sort());
    this.readAtMs = startedAtMs;
  }

  /** Each change is logged once. */
  private setMissing(missing: readonly string[]): void {
    if (missing.join() === this.missing.join()) return;
    this.missing = missing;
    if (missing.length === 0) this.log.log('all data keys that are needed are set');
    else {
      this.log.error(
        `values are encrypted with the data key ${missing.join(' and ')}, which is not set here: requests and jobs of projects with encrypted ` +
          'keys are refused; set STOWAGE_DATA_KEY or STOWAGE_DATA_KEY_PREVIOUS to it, and restart',
      );
    }
  }

  private async poll(): Promise<void> {
    const { signal } = this.stopping;
    const pause = (): Promise<boolean> => sleep(READ_EVERY_MS, true, { signal, ref: false }).catch(() => false);
    // Without the database the lists become too old, and then writes fail.
    while (await pause()) await this.read().catch(() => undefined);
  }
}

/** @param workOn null where there is nothing to do */
async function convert<T extends { data: string | null }>(
  projectId: number,
  items: readonly T[],
  workOn: (item: T) => PairsWork | null,
): Promise<readonly T[]> {
  const turns = new EventLoopYield(projectId);
  const converted: T[] = [];
  for (const item of items) {
    const work = workOn(item);
    converted.push(work === null ? item : { ...item, data: await finishPairs(work, turns) });
    if (turns.isDue) await turns.yield();
  }
  return converted;
}

/** @param known what was read a second before */
function projectOf({ lists }: ListRow, known: EncryptedProject | undefined): EncryptedProject {
  if (known?.lists === lists) return known;
  const [listed, removed] = JSON.parse(lists) as Lists;
  return {
    lists,
    keys: listed === null ? null : new Set(listed),
    unsearchable: unsearchableOf([listed, removed]),
  };
}

function storedKeys([row]: readonly StoredLists[]): ReadonlySet<string> | null {
  return row === undefined ? null : unsearchableOf([row.encrypted_keys, row.encryption_removed_keys]);
}

function unsearchableOf([listed, removed]: Lists): ReadonlySet<string> {
  return new Set([...(listed ?? []), ...(removed ?? [])]);
}
