import { addEntry, entriesOf } from './block.js';
import type { IndexPlan, Lookup } from './index-plan.js';
import type { ReadSegment } from './index-read.store.js';
import { validObjects } from './index-state.js';
import { emptyBitmap, fullBitmap, intersect, subtract, unite, type Bitmap } from './ordinals.js';

/** The objects of a segment that certainly match a plan, and those that may. The same bitmap where the index decides. */
export interface Matches {
  must: Bitmap;
  may: Bitmap;
}

/** Evaluates a plan on one segment; outdated objects never match. @param lookups those of the plan, in its order */
export function evaluate(plan: IndexPlan, lookups: readonly Lookup[], segment: ReadSegment): Matches {
  const evaluation = new Evaluation(lookups, segment);
  const { must, may } = evaluation.of(plan);
  const valid = validObjects(segment);
  intersect(must, valid);
  if (may !== must) intersect(may, valid);
  return { must, may };
}

class Evaluation {
  /** Index of the next look-up: they are visited in the order of the plan. */
  private next = 0;
  private readonly blocks = new Map<number, Buffer[]>();

  constructor(
    private readonly lookups: readonly Lookup[],
    private readonly segment: ReadSegment,
  ) {
    for (const { request, body } of segment.blocks) {
      if (body === null) throw new Error('a block was read without its objects');
      const bodies = this.blocks.get(request);
      if (bodies === undefined) this.blocks.set(request, [body]);
      else bodies.push(body);
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
      case 'not': {
        const { must, may } = this.of(plan.of);
        const notMay = subtract(fullBitmap(objects), may);
        return must === may ? same(notMay) : { must: notMay, may: subtract(fullBitmap(objects), must) };
      }
      case 'and':
        return this.combine(plan.of, fullBitmap(objects), intersect);
      case 'or':
        return this.combine(plan.of, emptyBitmap(objects), unite);
    }
  }

  private combine(
    plans: readonly IndexPlan[],
    start: Bitmap,
    operation: (left: Bitmap, right: Bitmap) => Bitmap,
  ): Matches {
    let result = same(start);
    for (const plan of plans) {
      const { must, may } = this.of(plan);
      if (result.must === result.may && must !== may) result = { must: result.must, may: result.may.slice() };
      operation(result.must, must);
      if (result.may !== result.must) operation(result.may, may);
    }
    return result;
  }

  private ofLookups(lookups: readonly Lookup[]): Matches {
    const { objects, hasManyKeys } = this.segment;
    const must = emptyBitmap(objects);
    let may = must;
    for (const { request, accepts, isExact } of lookups) {
      if (hasManyKeys && request.type === 'anyKey') may = fullBitmap(objects);
      for (const body of this.blocks.get(this.next++) ?? []) {
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
}

function same(bitmap: Bitmap): Matches {
  return { must: bitmap, may: bitmap };
}
