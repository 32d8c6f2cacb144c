import { Module } from '@nestjs/common';
import { BatchController } from './batch.controller.js';
import { BatchService } from './batch.service.js';
import { BatchStore } from './batch.store.js';
import { BulkSchema } from './bulk-schema.js';
import { Ingest } from './ingest.js';
import { ObjectController } from './object.controller.js';
import { ObjectListStore } from './object-list.store.js';
import { ObjectService } from './object.service.js';
import { ObjectStore } from './object.store.js';

@Module({
  controllers: [BatchController, ObjectController],
  providers: [BulkSchema, Ingest, BatchStore, BatchService, ObjectStore, ObjectListStore, ObjectService],
  exports: [BatchService],
})
export class WarehouseModule {}
