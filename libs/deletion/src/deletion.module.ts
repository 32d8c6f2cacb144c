import { AccessModule } from '#access';
import { AuditModule } from '#audit';
import { JobsModule } from '#jobs';
import { UsageModule } from '#usage';
import { Module } from '@nestjs/common';
import { ProjectDeletion } from './project-deletion.js';
import { ProjectDeletionController } from './project-deletion.controller.js';
import { ProjectDeletionStore } from './project-deletion.store.js';

/** Deletes projects. */
@Module({
  imports: [AccessModule, AuditModule, JobsModule, UsageModule],
  controllers: [ProjectDeletionController],
  providers: [ProjectDeletionStore, ProjectDeletion],
  exports: [ProjectDeletion],
})
export class DeletionModule {}
