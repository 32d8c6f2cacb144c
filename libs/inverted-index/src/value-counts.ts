import { parseNumber } from '#json';
import { termOf } from './lookup.js';
import { TermKind } from './term-kind.js';

/** A value as JSON, and the number of objects that have it. */
export interface ValueCount {
  value: string;
  count: number;
}

/** Different values that are counted: some 10 MB. */
const VALUES_MAX = 100_000;

/** A number with more zeros than this keeps its exponent. */
const ZEROS_MAX = 400;

/** Counts objects by the values of a key. */
export class ValueCounts {
  /** By kind and value; the value is empty for kinds that have only one. */
  private readonly counts = new Map<TermKind, Map<string, number>>();
  private total = 0;
  private distinct = 0;

  /** False where values were left out, because there were too many different ones. */
  isComplete = true;

  /** Adds objects that have a value. @returns false where there are too many different values */
  add(kind: TermKind, value: string, count: number): boolean {
    let values = this.counts.get(kind);
    if (values === undefined) this.counts.set(kind, (values = new Map<string, number>()));
    const known = values.get(value);
    if (known === undefined) {
      if (this.distinct === VALUES_MAX) return (this.isComplete = false);
      this.distinct++;
    }
    values.set(value, (known ?? 0) + count);
    this.total += count;
    return true;
  }

  /** Adds objects with a value that is not listed. */
  addUnlisted(count: number): void {
    this.total += count;
  }

  /**
   * Adds one object.
   * @param values JSON; null for an array or an object, `''` for a long text
   */
  addObject(values: Iterable<string | null>): boolean {
    const terms = new Map<string, { kind: TermKind; value: string }>();
    let hasLong = false;
    for (const json of values) {
      if (json === null) continue;
      const { kind, value } = json === '' ? { kind: TermKind.long, value: null } : termOf(json);
      if (kind === TermKind.long) hasLong = true;
      else terms.set(`${String(kind)}${value ?? ''}`, { kind, value: value ?? '' });
    }
    if (hasLong || terms.size === 0) this.addUnlisted(1);
    for (const { kind, value } of terms.values()) if (!this.add(kind, value, 1)) return false;
    return true;
  }

  /** The most frequent values, and the sum of the counts of all others. Values of equal counts are in the order of their JSON. */
  most(size: number): { values: ValueCount[]; other: number } {
    const most: ValueCount[] = [];
    for (const [kind, values] of this.counts) {
      for (const [value, count] of values) {
        const last = most.at(-1);
        if (most.length === size && last !== undefined && count < last.count) continue;
        insert(most, { value: jsonOf(kind, value), count }, size);
      }
    }
    return { values: most, other: most.reduce((rest, { count }) => rest - count, this.total) };
  }
}

/** Inserts into a sorted list, which keeps its `size` first elements. */
function insert(sorted: ValueCount[], one: ValueCount, size: number): void {
  let low = 0;
  let high = sorted.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    const other = sorted[middle] as ValueCount;
    if (other.count > one.count || (other.count === one.count && other.value < one.value)) low = middle + 1;
    else high = middle;
  }
  if (low === size) return;
  sorted.splice(low, 0, one);
  if (sorted.length > size) sorted.pop();
}

function jsonOf(kind: TermKind, value: string): string {
  switch (kind) {
    case TermKind.text:
      return JSON.stringify(value);
    case TermKind.number:
      return plainNumber(value);
    case TermKind.true:
      return 'true';
    case TermKind.false:
      return 'false';
    default:
      return 'null';
  }
}

/** A number of the index without exponent and without trailing zeros, unless it is very large or small. */
function plainNumber(text: string): string {
  const parts = parseNumber(text);
  if (parts === null || parts.exponent === 0 || Math.abs(parts.exponent) > ZEROS_MAX) return text;
  const digits = parts.whole + parts.fraction;
  const point = parts.whole.length + parts.exponent;
  const sign = parts.isNegative ? '-' : '';
  if (point >= digits.length) return `${sign}${digits}${'0'.repeat(point - digits.length)}`;
  if (point <= 0) return `${sign}0.${'0'.repeat(-point)}${digits}`;
  return `${sign}${digits.slice(0, point)}.${digits.slice(point)}`;
}
