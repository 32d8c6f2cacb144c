import { AuditModule } from '#audit';
import { EncryptionModule } from '#encryption';
import { InvertedIndexModule } from '#inverted-index';
import { JobsModule } from '#jobs';
import { UsageModule } from '#usage';
import { Module } from '@nestjs/common';
import { SealedJobStore } from './sealed-job.store.js';
import { SealedObjectStore } from './sealed-object.store.js';
import { SealedProjectStore } from './sealed-project.store.js';
import { Reencryption } from './reencryption.js';
import { ReencryptionStep } from './reencryption-step.js';

/** Seals and opens stored values in the background, in the processes that run jobs. */
@Module({
  imports: [AuditModule, EncryptionModule, InvertedIndexModule, JobsModule, UsageModule],
  providers: [SealedJobStore, SealedObjectStore, SealedProjectStore, ReencryptionStep, Reencryption],
})
export class ReencryptionModule {}
