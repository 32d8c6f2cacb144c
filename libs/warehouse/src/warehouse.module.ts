import { JobsModule } from '#jobs';
import { Module } from '@nestjs/common';
import { AggregateController } from './aggregate.controller.js';
import { AggregateStore } from './aggregate.store.js';
import { BatchController } from './batch.controller.js';
import { BatchOperations } from './batch.operations.js';
import { BatchService } from './batch.service.js';
import { BatchStore } from './batch.store.js';
import { BatchWriteStore } from './batch-write.store.js';
import { BatchWriter } from './batch-writer.js';
import { BulkSchema } from './bulk-schema.js';
import { FeedOperations } from './feed-operations.js';
import { FeedReader } from './feed-reader.js';
import { FeedWriteStore } from './feed-write.store.js';
import { FeedWriter } from './feed-writer.js';
import { Housekeeping } from './housekeeping.js';
import { Ingest } from './ingest.js';
import { KindService } from './kind.service.js';
import { ObjectController } from './object.controller.js';
import { ObjectListStore } from './object-list.store.js';
import { ObjectOperations } from './object.operations.js';
import { ObjectService } from './object.service.js';
import { ObjectStore } from './object.store.js';
import { ObservationStore } from './observation.store.js';
import { RollupStore } from './rollup.store.js';
import { Rollups } from './rollups.js';
import { WriteSlots } from './write-slots.js';

@Module({
  imports: [JobsModule],
  controllers: [AggregateController, BatchController, ObjectController],
  providers: [
    BulkSchema,
    Ingest,
    BatchStore,
    BatchWriteStore,
    WriteSlots,
    BatchWriter,
    BatchService,
    BatchOperations,
    ObjectStore,
    ObjectListStore,
    ObjectService,
    ObjectOperations,
    ObservationStore,
    FeedWriteStore,
    FeedWriter,
    FeedOperations,
    FeedReader,
    KindService,
    RollupStore,
    Rollups,
    AggregateStore,
    Housekeeping,
  ],
  exports: [AggregateStore, FeedOperations, FeedReader, FeedWriter, KindService],
})
export class WarehouseModule {}
