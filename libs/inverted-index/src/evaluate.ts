import { addEntry, entriesOf } from './block.js';
import type { IndexPlan } from './index-plan.js';
import type { Lookup } from './lookup.js';
import type { ReadSegment } from './index-read.store.js';
import { validObjects } from './index-state.js';
import { emptyBitmap, fullBitmap, intersect, subtract, unite, type Bitmap } from './ordinals.js';

/** The objects of a segment that certainly match a plan, and those that may. The same bitmap where the index decides. */
export interface Matches {
  must: Bitmap;
  may: Bitmap;
}

/**
 * Evaluates a plan on one segment; outdated objects never match.
 * @param lookups those that the blocks of the segment were requested for
 * @returns null where none can match
 */
export function evaluate(plan: IndexPlan, lookups: readonly Lookup[], segment: ReadSegment): Matches | null {
  const evaluation = new Evaluation(lookups, segment);
  if (evaluation.hasNone(plan)) return null;
  const matches = evaluation.of(plan);
  if (segment.outdated.length === 0) return matches;
  const valid = validObjects(segment);
  return combined(matches, same(valid), intersect);
}

class Evaluation {
  private readonly blocks = new Map<Lookup, Buffer[]>();
  /** Those of which blocks were left out. */
  private readonly leftOut = new Set<Lookup>();

  constructor(
    lookups: readonly Lookup[],
    private readonly segment: ReadSegment,
  ) {
    for (const { request, body } of segment.blocks) {
      const lookup = lookups[request];
      if (lookup === undefined) continue;
      if (body === null) {
        this.leftOut.add(lookup);
        continue;
      }
      const bodies = this.blocks.get(lookup);
      if (bodies === undefined) this.blocks.set(lookup, [body]);
      else bodies.push(body);
    }
  }

  /** Whether a condition that must hold has no blocks, which is quicker than to find out by bitmaps. */
  hasNone(plan: IndexPlan): boolean {
    switch (plan.kind) {
      case 'and':
        return plan.of.some((part) => this.hasNone(part));
      case 'or':
        return plan.of.every((part) => this.hasNone(part));
      case 'lookups':
        return plan.of.every((lookup) => !this.blocks.has(lookup) && !this.isUnread(lookup));
      case 'between':
        return (
          !this.blocks.has(plan.within) &&
          !this.isUnread(plan.within) &&
          plan.bounds.some((bound) => this.hasNone(bound))
        );
      case 'not':
      case 'unknown':
        return false;
    }
  }

  /** The bitmaps belong to the caller. */
  of(plan: IndexPlan): Matches {
    const { objects } = this.segment;
    switch (plan.kind) {
      case 'unknown':
        return { must: emptyBitmap(objects), may: fullBitmap(objects) };
      case 'lookups':
        return this.ofLookups(plan.of);
      case 'between': {
        // Of a segment, either the blocks of `within` were read or those of the bounds.
        const [lower, upper] = plan.bounds;
        const ofBounds = combined(this.ofLookups(lower.of), this.ofLookups(upper.of), intersect);
        return combined(this.ofLookups([plan.within]), ofBounds, unite);
      }
      case 'not': {
        const { must, may } = this.of(plan.of);
        const notMay = subtract(fullBitmap(objects), may);
        return must === may ? same(notMay) : { must: notMay, may: subtract(fullBitmap(objects), must) };
      }
      case 'and':
        return this.combine(plan.of, intersect) ?? same(fullBitmap(objects));
      case 'or':
        return this.combine(plan.of, unite) ?? same(emptyBitmap(objects));
    }
  }

  /** Null for no plans. */
  private combine(plans: readonly IndexPlan[], operation: BitmapOperation): Matches | null {
    let result: Matches | null = null;
    for (const plan of plans) {
      const matches = this.of(plan);
      result = result === null ? matches : combined(result, matches, operation);
    }
    return result;
  }

  private ofLookups(lookups: readonly Lookup[]): Matches {
    const { objects } = this.segment;
    const must = emptyBitmap(objects);
    let may = must;
    for (const lookup of lookups) {
      const { accepts, isExact } = lookup;
      if (this.isUnread(lookup)) may = fullBitmap(objects);
      for (const body of this.blocks.get(lookup) ?? []) {
        for (const entry of entriesOf(body, objects)) {
          if (accepts !== null && !accepts(entry.value)) continue;
          if (isExact) addEntry(must, entry, objects);
          else if (may === must) may = must.slice();
          if (may !== must) addEntry(may, entry, objects);
        }
      }
    }
    return { must, may };
  }

  /** Whether blocks were left out, or not looked up because the segment has so many keys. */
  private isUnread(lookup: Lookup): boolean {
    return this.leftOut.has(lookup) || (this.segment.hasManyKeys && lookup.request.type === 'anyKey');
  }
}

/** Changes the left bitmap. */
type BitmapOperation = (left: Bitmap, right: Bitmap) => Bitmap;

/** The bitmaps of `left` are changed. */
function combined(left: Matches, right: Matches, operation: BitmapOperation): Matches {
  const isExact = left.must === left.may && right.must === right.may;
  const may = isExact ? null : operation(left.must === left.may ? left.may.slice() : left.may, right.may);
  const must = operation(left.must, right.must);
  return { must, may: may ?? must };
}

function same(bitmap: Bitmap): Matches {
  return { must: bitmap, may: bitmap };
}
