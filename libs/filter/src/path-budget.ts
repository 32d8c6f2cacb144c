import type { JsonText, ValueFilter } from './filter.js';
import { keyPaths } from './key-paths.js';

/** Each condition is a comparison with each object that is read, and may be a search of an index. */
const CONDITIONS_MAX = 100;
/**
 * The characters of keys with dots and of their values. The SQL/JSON path repeats both for each place that the key stands for,
 * up to 17 times, so that a filter of 1 MiB would become a path of 17 MiB, which PostgreSQL parses for each statement.
 */
const REPEATED_LENGTH_MAX = 256 * 1024;

/** Counts the comparisons of a filter against its limits. */
export class PathBudget {
  private conditions = 0;
  private repeatedLength = 0;

  /**
   * Adds the comparison of a key with a value: one condition for each place that the key stands for.
   * @returns the error; null within the limits
   */
  add(key: Pick<ValueFilter, 'key' | 'isLiteral'>, value: JsonText): string | null {
    const pathCount = keyPaths(key).length;
    this.conditions += Math.max(1, pathCount);
    if (this.conditions > CONDITIONS_MAX) {
      const rule = 'each value of a list is one, and each place that a key with dots stands for';
      return `exceeds the limit of ${String(CONDITIONS_MAX)} conditions; ${rule}`;
    }
    if (pathCount > 1) this.repeatedLength += pathCount * ((key.key ?? '').length + value.length);
    if (this.repeatedLength > REPEATED_LENGTH_MAX) {
      const limit = `the limit of ${String(REPEATED_LENGTH_MAX)} characters for keys with dots and their values`;
      return `exceeds ${limit}, which count for each place that the key stands for; $pair takes a key literally`;
    }
    return null;
  }

  /** Adds a condition without a key. @returns the error; null within the limits */
  addOther(): string | null {
    return this.add({ key: null, isLiteral: true }, '');
  }
}
