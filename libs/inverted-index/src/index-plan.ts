import type { Filter, ValueFilter } from '#filter';
import { anyKeyLookups, lookupsOfTest, type Accepts, type Lookup, type RangeRequest } from './lookup.js';
import { PATH_BYTES_MAX } from './term-kind.js';

/**
 * A filter as a combination of look-ups. `unknown` is a condition that the index does not decide: every object may match, and none
 * certainly does.
 */
export type IndexPlan =
  | { kind: 'and' | 'or'; of: readonly IndexPlan[] }
  | { kind: 'not'; of: IndexPlan }
  | LookupsPlan
  | BetweenPlan
  | { kind: 'unknown' };

/** At least one of the look-ups finds the object. */
interface LookupsPlan {
  kind: 'lookups';
  of: readonly Lookup[];
}

/**
 * A lower and an upper bound of one key. Different values of an object may meet them, so both must be looked up, which reads all values
 * of the key. Where no object of a segment has several values, one value meets both: `within` reads the values between them instead.
 */
interface BetweenPlan {
  kind: 'between';
  /** In segments with single values. */
  within: Lookup;
  /** In the other segments. */
  bounds: readonly [lower: LookupsPlan, upper: LookupsPlan];
}

const UNKNOWN: IndexPlan = { kind: 'unknown' };

export function indexPlan(filter: Filter): IndexPlan {
  switch (filter.kind) {
    case 'and':
      return { kind: 'and', of: plansOfAll(filter.of) };
    case 'or':
      return { kind: 'or', of: filter.of.map(indexPlan) };
    case 'not':
      return { kind: 'not', of: indexPlan(filter.of) };
    case 'value':
      return valuePlan(filter);
    default:
      return UNKNOWN;
  }
}

/** Whether the index narrows the objects at all. */
export function isUseful(plan: IndexPlan): boolean {
  switch (plan.kind) {
    case 'and':
      return plan.of.some(isUseful);
    case 'or':
      return plan.of.every(isUseful);
    case 'not':
      return isUseful(plan.of);
    case 'lookups':
    case 'between':
      return true;
    case 'unknown':
      return false;
  }
}

/** The look-ups of a plan, in its order. */
export function lookupsOf(plan: IndexPlan): readonly Lookup[] {
  switch (plan.kind) {
    case 'and':
    case 'or':
      return plan.of.flatMap(lookupsOf);
    case 'not':
      return lookupsOf(plan.of);
    case 'lookups':
      return plan.of;
    case 'between':
      return [plan.within, ...plan.bounds.flatMap(({ of }) => of)];
    case 'unknown':
      return [];
  }
}

/** The most look-ups of a required condition. */
const REQUIRED_LOOKUPS_MAX = 4;

/**
 * The look-ups of each condition that every match must meet, by their index. A condition on any key, or with many look-ups, is left out:
 * to find out whether a segment has one of their blocks costs as much as to read them.
 * @param lookups those of the plan
 */
export function requiredOf(plan: IndexPlan, lookups: readonly Lookup[]): number[][] {
  if (plan.kind === 'and') return plan.of.flatMap((part) => requiredOf(part, lookups));
  if (plan.kind === 'between') {
    const [lower] = plan.bounds;
    // A value from the lower bound on, whichever of the two look-ups reads it.
    return requiredOf(lower, lookups);
  }
  if (plan.kind !== 'lookups' || plan.of.length === 0 || plan.of.length > REQUIRED_LOOKUPS_MAX) return [];
  if (plan.of.some(({ request }) => request.type === 'anyKey')) return [];
  return [plan.of.map((lookup) => lookups.indexOf(lookup))];
}

/** The plans of conditions that must all hold. */
function plansOfAll(filters: readonly Filter[]): IndexPlan[] {
  const plans: IndexPlan[] = [];
  const paired = new Set<Filter>();
  for (const filter of filters) {
    if (paired.has(filter)) continue;
    const other = filters.find((one) => !paired.has(one) && areBoundsOfOneKey(filter, one));
    const between = other === undefined ? null : betweenPlan(indexPlan(filter), indexPlan(other));
    if (other === undefined || between === null) {
      plans.push(indexPlan(filter));
      continue;
    }
    paired.add(other);
    plans.push(between);
  }
  return plans;
}

/** Whether one is a lower bound and the other an upper one, of numbers or of texts. */
function areBoundsOfOneKey(a: Filter, b: Filter): boolean {
  if (a.kind !== 'value' || b.kind !== 'value' || a.key !== b.key || a.isLiteral !== b.isLiteral) return false;
  const [one, other] = [boundOf(a), boundOf(b)];
  return one !== null && other !== null && one.isLower !== other.isLower && one.isText === other.isText;
}

function boundOf({ test }: ValueFilter): { isLower: boolean; isText: boolean } | null {
  if (test.op !== 'gt' && test.op !== 'gte' && test.op !== 'lt' && test.op !== 'lte') return null;
  return { isLower: test.op.startsWith('gt'), isText: test.value.startsWith('"') };
}

/** Null where the index does not look up the bounds. */
function betweenPlan(a: IndexPlan, b: IndexPlan): BetweenPlan | null {
  if (a.kind !== 'lookups' || b.kind !== 'lookups') return null;
  const [rangeOfA, rangeOfB] = [rangeOf(a), rangeOf(b)];
  if (rangeOfA === null || rangeOfB === null) return null;
  const isLower = rangeOfA.request.low !== null;
  const [lower, upper] = isLower ? [rangeOfA, rangeOfB] : [rangeOfB, rangeOfA];
  const accepts = (value: string): boolean => lower.accepts(value) && upper.accepts(value);
  return {
    kind: 'between',
    within: { ...lower, request: { ...lower.request, high: upper.request.high, isSingle: true }, accepts },
    bounds: isLower ? [ofSeveral(a), ofSeveral(b)] : [ofSeveral(b), ofSeveral(a)],
  };
}

/** The range of a comparison. */
function rangeOf({ of: [first] }: LookupsPlan): (Lookup & { request: RangeRequest; accepts: Accepts }) | null {
  if (first?.request.type !== 'range' || first.accepts === null) return null;
  return { ...first, request: first.request, accepts: first.accepts };
}

/** The same look-ups, of ranges only in segments where objects have several values. */
function ofSeveral({ of }: LookupsPlan): LookupsPlan {
  return {
    kind: 'lookups',
    of: of.map((lookup) => {
      const { request } = lookup;
      return request.type === 'range' ? { ...lookup, request: { ...request, isSingle: false } } : lookup;
    }),
  };
}

function valuePlan({ key, isLiteral, test }: ValueFilter): IndexPlan {
  if (key === null) {
    if (test.op === 'eq') return { kind: 'lookups', of: anyKeyLookups(test.value) };
    if (test.op === 'in') return { kind: 'lookups', of: test.values.flatMap(anyKeyLookups) };
    return UNKNOWN;
  }
  if (Buffer.byteLength(key) > PATH_BYTES_MAX) return UNKNOWN;
  // Members of objects have the same path as a key with dots.
  const isExact = !(isLiteral && key.includes('.')) || test.op === 'exists';
  const lookups = lookupsOfTest(key, isLiteral, test);
  return { kind: 'lookups', of: isExact ? lookups : lookups.map((lookup) => ({ ...lookup, isExact: false })) };
}
