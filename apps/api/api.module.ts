import { AccessModule } from '#access';
import { JobsModule } from '#jobs';
import { InputPipe, ProblemFilter, type Config, type Installation } from '#platform';
import { WarehouseModule } from '#warehouse';
import { Module, type DynamicModule } from '@nestjs/common';
import { APP_FILTER, APP_PIPE } from '@nestjs/core';
import { TerminusModule } from '@nestjs/terminus';
import { FoundationModule } from '../foundation.module.js';
import { DocumentsController } from './documents.controller.js';
import { FirstStart } from './first-start.js';
import { HealthController } from './health.controller.js';
import { RootController } from './root.controller.js';

@Module({})
export class ApiModule {
  static of(config: Config, installation: Pick<Installation, 'database' | 'sequence'>): DynamicModule {
    return {
      module: ApiModule,
      imports: [
        FoundationModule.of(config, installation),
        AccessModule,
        JobsModule,
        WarehouseModule,
        TerminusModule.forRoot({ logger: false, gracefulShutdownTimeoutMs: 0 }),
      ],
      controllers: [RootController, DocumentsController, HealthController],
      providers: [
        FirstStart,
        { provide: APP_FILTER, useClass: ProblemFilter },
        { provide: APP_PIPE, useClass: InputPipe },
      ],
    };
  }
}
