import { JobsModule } from '#jobs';
import { Module } from '@nestjs/common';
import { IndexBuildStore } from './index-build.store.js';
import { IndexCheck } from './index-check.js';
import { IndexKeys } from './index-keys.js';
import { IndexReadStore } from './index-read.store.js';
import { IndexSearch } from './index-search.js';
import { IndexValues } from './index-values.js';
import { Indexer } from './indexer.js';
import { SegmentMergeStore } from './segment-merge.store.js';
import { SegmentStore } from './segment.store.js';
import { SortedSearch } from './sorted-search.js';

/** The inverted index of objects' data. */
@Module({
  imports: [JobsModule],
  providers: [
    SegmentStore,
    SegmentMergeStore,
    IndexBuildStore,
    IndexCheck,
    IndexKeys,
    IndexReadStore,
    IndexSearch,
    IndexValues,
    Indexer,
    SortedSearch,
  ],
  exports: [
    IndexSearch,
    SortedSearch,
    IndexKeys,
    IndexValues,
    SegmentMergeStore,
    SegmentStore,
    IndexCheck,
    IndexBuildStore,
    Indexer,
  ],
})
export class InvertedIndexModule {}
