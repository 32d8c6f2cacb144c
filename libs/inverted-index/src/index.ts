/**
 * inverted-index: which objects have which keys and values, as segments of posting lists. Writes of objects keep it correct in their
 * own transactions; a background task moves pending objects into segments.
 * Imports json, filter, platform, database, jobs.
 */
export { ADD_PENDING, addPendingSql, changedObjectsSql, deletedObjectsSql } from './index-sql.js';
export { IndexBuildStore } from './index-build.store.js';
export { IndexCheck, type IndexDifference, type IndexReport } from './index-check.js';
export { IndexKeys, type IndexedKey } from './index-keys.js';
export { IndexReadStore } from './index-read.store.js';
export { indexQuery, IndexSearch, type IndexCount, type IndexQuery } from './index-search.js';
export { IndexValues } from './index-values.js';
export { Indexer } from './indexer.js';
export { InvertedIndexModule } from './inverted-index.module.js';
export { SegmentBuilder } from './segment-builder.js';
export { SegmentMergeStore } from './segment-merge.store.js';
export { SegmentStore } from './segment.store.js';
export { compareSorted, isAtPlace, SortedSearch, type SortedObject } from './sorted-search.js';
export {
  compareSortValues,
  parseSortKey,
  sortValueOf,
  sortValueSql,
  type SortKey,
  sortValueKey,
  type SortValueRow,
} from './sort-value.js';
export { isLongTextSql, TermKind } from './term-kind.js';
export { notUsable, UNUSABLE_REASONS, type UnusableReason } from './unusable-reason.js';
export { ValueCounts, type ValueCount } from './value-counts.js';
