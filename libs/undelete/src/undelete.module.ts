import { AuditModule } from '#audit';
import { InvertedIndexModule } from '#inverted-index';
import { JobsModule } from '#jobs';
import { UsageModule } from '#usage';
import { Module } from '@nestjs/common';
import { DeletionController } from './deletion.controller.js';
import { DeletionIds } from './deletion-ids.js';
import { DeletionStore } from './deletion.store.js';
import { Restoration } from './restoration.js';

/** Deleted batches and objects. */
@Module({
  imports: [AuditModule, InvertedIndexModule, JobsModule, UsageModule],
  controllers: [DeletionController],
  providers: [DeletionIds, DeletionStore, Restoration],
  exports: [DeletionIds, DeletionStore],
})
export class UndeleteModule {}
