import { conjunctsOf, isEverything, type Filter } from '#filter';
import type { Queryable } from '#database';
import { indexQuery, IndexValues, ValueCounts, type ValueCount } from '#inverted-index';
import { OBJECT_FILTER_COLUMNS } from '#store';
import { Injectable } from '@nestjs/common';
import { FacetsStore } from './facets.store.js';

/** The most frequent values of a key. */
export interface Facet {
  values: ValueCount[];
  /** The sum of the counts of all other values. */
  other: number;
  /** Whether every matching object was counted. */
  isExact: boolean;
}

/** The newest objects that are read where the index cannot answer: about 50 ms. */
export const OBJECTS_READ = 10_000;

/** Counts objects by the values of a key. */
@Injectable()
export class FacetsService {
  constructor(
    private readonly index: IndexValues,
    private readonly objects: FacetsStore,
  ) {}

  /** @param size the most values */
  async count(
    projectId: number,
    { key, filter, size }: { key: string; filter: Filter; size: number },
    on?: Queryable,
  ): Promise<Facet> {
    const query = isEverything(filter) ? null : indexQuery(filter, OBJECT_FILTER_COLUMNS);
    // The index does not have the columns that these conditions are about.
    const isIndexed = isEverything(filter) || (query !== null && conjunctsOf(filter).every(isAboutData));
    const indexed = isIndexed ? await this.index.count(projectId, key, query, on) : null;
    if (indexed !== null) {
      const { counts, pending } = indexed;
      await this.objects.addObjects(projectId, { key, filter }, pending, counts, on);
      return { ...counts.most(size), isExact: counts.isComplete };
    }
    const counts = new ValueCounts();
    const isAll = await this.objects.addNewest(projectId, { key, filter }, OBJECTS_READ, counts, on);
    return { ...counts.most(size), isExact: isAll && counts.isComplete };
  }
}

function isAboutData({ kind }: Filter): boolean {
  return !['batch', 'subject', 'subject_prefix', 'observed'].includes(kind);
}
