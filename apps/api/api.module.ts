import { AccessModule } from '#access';
import { JobsModule } from '#jobs';
import { InputPipe, ProblemFilter, type Config, type Installation } from '#platform';
import { WarehouseModule } from '#warehouse';
import { Module, type DynamicModule, type Type } from '@nestjs/common';
import { APP_FILTER, APP_PIPE } from '@nestjs/core';
import { TerminusModule } from '@nestjs/terminus';
import { FEEDS } from '../feeds.js';
import { FoundationModule } from '../foundation.module.js';
import { DocumentsController } from './documents.controller.js';
import { FirstStart } from './first-start.js';
import { Fixtures } from './fixtures.js';
import { HealthController } from './health.controller.js';
import { RootController } from './root.controller.js';

@Module({})
export class ApiModule {
  static of(
    config: Config,
    installation: Pick<Installation, 'database' | 'sequence'>,
    feeds: readonly Type[] = FEEDS,
  ): DynamicModule {
    return {
      module: ApiModule,
      imports: [
        FoundationModule.of(config, installation),
        AccessModule,
        JobsModule,
        WarehouseModule,
        ...feeds,
        TerminusModule.forRoot({ logger: false, gracefulShutdownTimeoutMs: 0 }),
      ],
      controllers: [RootController, DocumentsController, HealthController],
      providers: [
        FirstStart,
        Fixtures,
        { provide: APP_FILTER, useClass: ProblemFilter },
        { provide: APP_PIPE, useClass: InputPipe },
      ],
    };
  }
}
