import { AuditModule } from '#audit';
import { InvertedIndexModule } from '#inverted-index';
import { JobsModule } from '#jobs';
import { ObjectsModule } from '#objects';
import { UsageModule } from '#usage';
import { Module } from '@nestjs/common';
import { FeedOperations } from './feed-operations.js';
import { FeedReader } from './feed-reader.js';
import { FeedWriteStore } from './feed-write.store.js';
import { FeedStreamStore } from './feed-stream.store.js';
import { FeedStreamWriter } from './feed-stream-writer.js';
import { FeedWriter } from './feed-writer.js';
import { CollectionService } from './collection.service.js';
import { ObservationStore } from './observation.store.js';

/** The services with which every feed reads and writes objects. */
@Module({
  imports: [AuditModule, InvertedIndexModule, JobsModule, ObjectsModule, UsageModule],
  providers: [
    FeedWriteStore,
    FeedWriter,
    FeedStreamStore,
    FeedStreamWriter,
    FeedOperations,
    FeedReader,
    ObservationStore,
    CollectionService,
  ],
  exports: [FeedOperations, FeedReader, FeedWriter, CollectionService],
})
export class FeedsModule {}
