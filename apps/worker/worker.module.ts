import { AccessModule } from '#access';
import { AnalyticsModule } from '#analytics';
import { BatchesModule } from '#batches';
import { ChangesModule } from '#changes';
import { WebhooksModule } from '#webhooks';
import { DeletionModule } from '#deletion';
import { JobsModule } from '#jobs';
import { ObjectsModule } from '#objects';
import type { Config } from '#platform';
import { RetentionModule } from '#retention';
import { ReencryptionModule } from '#reencryption';
import { Module, type DynamicModule } from '@nestjs/common';
import { FEEDS } from '../feeds.js';
import { FoundationModule, type OpenInstallation } from '../foundation.module.js';

/** The libs of the server. Their controllers are created too: those of the feeds register the operations that jobs run. */
@Module({})
export class WorkerModule {
  static of(config: Config, installation: OpenInstallation): DynamicModule {
    return {
      module: WorkerModule,
      imports: [
        FoundationModule.of(config, installation),
        AccessModule,
        JobsModule,
        ObjectsModule,
        BatchesModule,
        AnalyticsModule,
        ChangesModule,
        WebhooksModule,
        DeletionModule,
        RetentionModule,
        ReencryptionModule,
        ...FEEDS,
      ],
    };
  }
}
