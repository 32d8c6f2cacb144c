import { hash } from 'node:crypto';
import { LRUCache } from 'lru-cache';

/** Each connection keeps the plans of its prepared statements, some 100 KB each. One project cannot use up the number. */
const PREPARED_MAX = 80;
const PREPARED_OF_PROJECT = 16;
/** A text is prepared when it comes for this time, so that texts that come once do not use up the number. */
const PREPARED_AFTER = 3;
/** The texts that are counted, and their length: a longer one has so many conditions that planning is a small part. */
const COUNTED_MAX = 1_000;
const LENGTH_MAX = 16 * 1024;

/** Decides which texts the connections of a pool prepare: planning takes longer than reading some objects. */
export class PreparedStatements {
  private readonly names = new Set<string>();
  /** How many names were added by requests of each project. */
  private readonly projects = new Map<number, number>();
  private readonly counts = new LRUCache<string, number>({ max: COUNTED_MAX });

  /**
   * Counts a text of a request of the project.
   * @returns the name by which it is prepared; undefined where it is not
   */
  nameOf(text: string, projectId: number): string | undefined {
    if (text.length > LENGTH_MAX) return undefined;
    const name = `stowage.${hash('sha1', text, 'base64url')}`;
    if (this.names.has(name)) return name;
    const count = (this.counts.get(name) ?? 0) + 1;
    this.counts.set(name, count);
    const added = this.projects.get(projectId) ?? 0;
    if (count < PREPARED_AFTER || this.names.size >= PREPARED_MAX || added >= PREPARED_OF_PROJECT) return undefined;
    this.names.add(name);
    this.projects.set(projectId, added + 1);
    return name;
  }
}
