import { AuditModule } from '#audit';
import { JobsModule } from '#jobs';
import { ObjectsModule } from '#objects';
import { UndeleteModule } from '#undelete';
import { Module } from '@nestjs/common';
import { Retention } from './retention.js';
import { RetentionStore } from './retention.store.js';

/** Deletes old objects in the background, in the processes that run jobs. */
@Module({
  imports: [AuditModule, JobsModule, ObjectsModule, UndeleteModule],
  providers: [RetentionStore, Retention],
  exports: [Retention],
})
export class RetentionModule {}
