import type { Queryable } from '#database';
import { Injectable } from '@nestjs/common';

/** Something of a project that needs the values of a key in clear text. */
export interface KeyUse {
  key: string;
  /** Such as `the threshold of the webhook "cold store"`. */
  by: string;
}
/** @param keys those that are to be encrypted */
type FindKeyUses = (on: Queryable, projectId: number, keys: readonly string[]) => Promise<KeyUse[]>;

/** The keys that cannot be encrypted, because something computes with their values in SQL. The modules that do so add them. */
@Injectable()
export class ClearTextKeys {
  private readonly reservedKeys = new Set<string>();
  private readonly finders: FindKeyUses[] = [];

  /** Adds keys that no list may have, because a feed stores and queries them. */
  reserve(...keys: string[]): void {
    for (const key of keys) this.reservedKeys.add(key);
  }

  get reserved(): ReadonlySet<string> {
    return this.reservedKeys;
  }

  /** Adds a search for what would stop working without the values of a key. */
  addUses(find: FindKeyUses): void {
    this.finders.push(find);
  }

  async findUses(on: Queryable, projectId: number, keys: readonly string[]): Promise<KeyUse[]> {
    const uses: KeyUse[] = [];
    for (const find of this.finders) uses.push(...(await find(on, projectId, keys)));
    return uses;
  }
}
