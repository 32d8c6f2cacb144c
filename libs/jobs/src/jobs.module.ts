import { AccessModule } from '#access';
import { Module } from '@nestjs/common';
import { Idempotency } from './idempotency.js';
import { IdempotencyStore } from './idempotency.store.js';
import { JobController } from './job.controller.js';
import { JobRunner } from './job-runner.js';
import { JobStore } from './job.store.js';
import { JobWork } from './job-work.js';
import { KeptBody } from './kept-body.js';
import { Maintenance } from './maintenance.js';
import { Operations } from './operations.js';
import { WorkerRegistry } from './worker-registry.js';
import { WriteRequests } from './write-requests.js';

@Module({
  imports: [AccessModule],
  controllers: [JobController],
  providers: [
    IdempotencyStore,
    Idempotency,
    Operations,
    WriteRequests,
    JobStore,
    KeptBody,
    JobWork,
    WorkerRegistry,
    Maintenance,
    JobRunner,
  ],
  exports: [Idempotency, Maintenance, Operations, WriteRequests, JobRunner],
})
export class JobsModule {}
