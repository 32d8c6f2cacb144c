import { AccessModule } from '#access';
import { DiskReserve, Sequence } from '#database';
import { EncryptionModule } from '#encryption';
import { EventsModule } from '#events';
import { LimitsModule } from '#limits';
import { ByteBudget, Config } from '#platform';
import { UsageModule } from '#usage';
import { Module } from '@nestjs/common';
import { Idempotency } from './idempotency.js';
import { IdempotencyStore } from './idempotency.store.js';
import { JobController } from './job.controller.js';
import { JobRunner } from './job-runner.js';
import { JobQueueStore } from './job-queue.store.js';
import { JobStore } from './job.store.js';
import { JobExecutor } from './job-executor.js';
import { JobNotifier } from './job-notifier.js';
import { JobPlaces } from './job-places.js';
import { JobBodyRoom } from './job-body-room.js';
import { JobBodyStore } from './job-body.store.js';
import { OperatorJobs } from './operator-jobs.js';
import { Maintenance } from './maintenance.js';
import { MaintenanceController } from './maintenance.controller.js';
import { MaintenanceStore } from './maintenance.store.js';
import { QueueRepair } from './queue-repair.js';
import { MetricsStore } from './metrics.store.js';
import { WorkerRegistry } from './worker-registry.js';
import { StreamParts } from './stream-parts.js';
import { StreamReceiver } from './stream-receiver.js';
import { WriteOperations } from './write-operations.js';
import { WriteService } from './write.service.js';
import { WriteSlots } from './write-slots.js';

@Module({
  imports: [AccessModule, EncryptionModule, EventsModule, LimitsModule, UsageModule],
  controllers: [JobController, MaintenanceController],
  providers: [
    IdempotencyStore,
    Idempotency,
    WriteOperations,
    WriteService,
    JobStore,
    JobQueueStore,
    JobBodyRoom,
    JobBodyStore,
    {
      provide: StreamParts,
      inject: [JobStore, Sequence, ByteBudget, DiskReserve, Config],
      useFactory: (...given: [JobStore, Sequence, ByteBudget, DiskReserve, Config]) => new StreamParts(...given),
    },
    {
      provide: StreamReceiver,
      inject: [StreamParts, Config],
      useFactory: (parts: StreamParts, config: Config) => new StreamReceiver(parts, config),
    },
    JobNotifier,
    JobPlaces,
    JobExecutor,
    OperatorJobs,
    WorkerRegistry,
    Maintenance,
    MaintenanceStore,
    QueueRepair,
    MetricsStore,
    JobRunner,
    WriteSlots,
  ],
  exports: [Idempotency, Maintenance, MetricsStore, OperatorJobs, WriteOperations, WriteService, WriteSlots, JobRunner],
})
export class JobsModule {}
