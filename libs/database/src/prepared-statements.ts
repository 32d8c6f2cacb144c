import { hash } from 'node:crypto';
import { LRUCache } from 'lru-cache';
import type { Statement } from './database.js';

/** Each connection keeps the plans of its prepared statements, some 100 KB each. One project cannot use up the number. */
const PREPARED_MAX = 80;
const PREPARED_OF_PROJECT = 16;
/** A text is prepared when it comes for this time, so that texts that come once do not use up the number. */
const PREPARED_AFTER = 3;
/** The texts that are counted, and their length: a longer one has so many conditions that planning is a small part. */
const COUNTED_MAX = 1_000;
const LENGTH_MAX = 16 * 1024;

const names = new Set<string>();
/** How many names were added by requests of each project. */
const projects = new Map<number, number>();
const counts = new LRUCache<string, number>({ max: COUNTED_MAX });

/**
 * A statement that is prepared where its text is frequent: planning takes longer than reading some objects. Only for a statement whose
 * best plan does not depend on its values.
 */
export function prepared(text: string, projectId: number): Statement {
  if (text.length > LENGTH_MAX) return { text };
  const name = `stowage.${hash('sha1', text, 'base64url')}`;
  if (names.has(name)) return { name, text };
  const count = (counts.get(name) ?? 0) + 1;
  counts.set(name, count);
  const added = projects.get(projectId) ?? 0;
  if (count < PREPARED_AFTER || names.size >= PREPARED_MAX || added >= PREPARED_OF_PROJECT) return { text };
  names.add(name);
  projects.set(projectId, added + 1);
  return { name, text };
}
