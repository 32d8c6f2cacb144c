import { AccessModule } from '#access';
import { AnalyticsModule } from '#analytics';
import { BatchesModule } from '#batches';
import { ChangesModule } from '#changes';
import { WebhooksModule } from '#webhooks';
import { DeletionModule } from '#deletion';
import { EncryptionModule } from '#encryption';
import { ExportModule } from '#export';
import { JobsModule } from '#jobs';
import { ObjectsModule } from '#objects';
import { UsageModule } from '#usage';
import { InputPipe, ProblemFilter } from '#http';
import { type Config } from '#platform';
import { Telemetry } from '#telemetry';
import { RetentionModule } from '#retention';
import { ReencryptionModule } from '#reencryption';
import { Module, type DynamicModule, type Type } from '@nestjs/common';
import { APP_FILTER, APP_PIPE } from '@nestjs/core';
import { FEEDS } from '../feeds.js';
import { FoundationModule, type OpenInstallation } from '../foundation.module.js';
import { FirstStart } from './first-start.js';
import { Fixtures } from './fixtures.js';
import { HealthController } from './health.controller.js';
import { MetricsController, servesMetrics } from './metrics.controller.js';
import { RootController, ServerRootController } from './root.controller.js';

@Module({})
export class ApiModule {
  static of(config: Config, installation: OpenInstallation, feeds: readonly Type[] = FEEDS): DynamicModule {
    return {
      module: ApiModule,
      imports: [
        FoundationModule.of(config, installation),
        EncryptionModule,
        AccessModule,
        UsageModule,
        JobsModule,
        ObjectsModule,
        BatchesModule,
        AnalyticsModule,
        ExportModule,
        ChangesModule,
        WebhooksModule,
        DeletionModule,
        RetentionModule,
        ReencryptionModule,
        ...feeds,
      ],
      controllers: [
        ServerRootController,
        RootController,
        HealthController,
        ...(servesMetrics(installation.telemetry ?? Telemetry.off(), config) ? [MetricsController] : []),
      ],
      providers: [
        FirstStart,
        Fixtures,
        { provide: APP_FILTER, useClass: ProblemFilter },
        { provide: APP_PIPE, useClass: InputPipe },
      ],
    };
  }
}
