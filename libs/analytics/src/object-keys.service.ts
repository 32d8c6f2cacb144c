import type { Queryable } from '#database';
import { IndexKeys, TermKind, type IndexedKey } from '#inverted-index';
import { Injectable } from '@nestjs/common';
import { OBJECTS_READ } from './facets.service.js';
import { ObjectKeysStore, type KeyUse } from './object-keys.store.js';

/** The keys of a project, most frequent first. */
export interface KeyList {
  keys: KeyUse[];
  /** Whether there are more keys. */
  isTruncated: boolean;
  /** False where only the newest objects were read. */
  isExact: boolean;
}

/** The most keys of a response. */
export const KEYS_MAX = 1_000;

/** The JSON types of kinds that have one. */
const TYPES: Partial<Record<TermKind, string>> = {
  [TermKind.null]: 'null',
  [TermKind.false]: 'boolean',
  [TermKind.true]: 'boolean',
  [TermKind.number]: 'number',
  [TermKind.text]: 'string',
};

/** Lists the keys that objects have. */
@Injectable()
export class ObjectKeysService {
  constructor(
    private readonly index: IndexKeys,
    private readonly objects: ObjectKeysStore,
  ) {}

  async list(projectId: number, on?: Queryable): Promise<KeyList> {
    const indexed = await this.index.read(projectId, KEYS_MAX, on);
    if (indexed === null) {
      const { uses, isAll } = await this.objects.newestUses(projectId, OBJECTS_READ, KEYS_MAX + 1, on);
      return { keys: uses.slice(0, KEYS_MAX), isTruncated: uses.length > KEYS_MAX, isExact: isAll };
    }
    const keys = new Map((await this.usesOf(projectId, indexed.keys, on)).map((use) => [use.key, use]));
    let { isAll } = indexed;
    for (const use of await this.objects.usesOf(projectId, indexed.pending, KEYS_MAX + 1, on)) {
      const known = keys.get(use.key);
      // A key that is not among the most frequent ones of the index may still have objects there.
      if (known !== undefined) keys.set(use.key, sumOf(use, known));
      else if (indexed.isAll) keys.set(use.key, use);
    }
    const sorted = [...keys.values()].sort((a, b) => b.objects - a.objects || (a.key < b.key ? -1 : 1));
    isAll &&= sorted.length <= KEYS_MAX;
    return { keys: sorted.slice(0, KEYS_MAX), isTruncated: !isAll, isExact: true };
  }

  private async usesOf(projectId: number, keys: readonly IndexedKey[], on?: Queryable): Promise<KeyUse[]> {
    if (keys.length === 0) return [];
    const examples = keys.flatMap(({ key, examples: seqs }) => seqs.map((seq) => ({ key, seq })));
    const found = await this.objects.examplesOf(projectId, examples, on);
    return keys.map(({ key, objects, kinds }) => {
      const types = kinds.flatMap((kind) => TYPES[kind] ?? []);
      const { types: ofExamples = [], example = null } = found.get(key) ?? {};
      return { key, objects, types: [...new Set([...types, ...ofExamples])], example };
    });
  }
}

function sumOf(one: KeyUse, other: KeyUse): KeyUse {
  return {
    key: one.key,
    objects: one.objects + other.objects,
    types: [...new Set([...one.types, ...other.types])],
    example: one.example ?? other.example,
  };
}
