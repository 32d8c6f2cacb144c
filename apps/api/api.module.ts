import { AccessModule } from '#access';
import { Config, Database, InputPipe, ProblemFilter, Sequence, type Installation } from '#platform';
import { WarehouseModule } from '#warehouse';
import { Global, Module, type DynamicModule } from '@nestjs/common';
import { APP_FILTER, APP_PIPE } from '@nestjs/core';
import { TerminusModule } from '@nestjs/terminus';
import { DocumentsController } from './documents.controller.js';
import { FirstStart } from './first-start.js';
import { HealthController } from './health.controller.js';
import { RootController } from './root.controller.js';

/** What every lib is built on, opened before Nest starts, so that a failure is one line and not a stack trace. */
@Global()
@Module({})
export class FoundationModule {
  static of(config: Config, { database, sequence }: Pick<Installation, 'database' | 'sequence'>): DynamicModule {
    const providers = [
      { provide: Config, useValue: config },
      { provide: Database, useValue: database },
      { provide: Sequence, useValue: sequence },
    ];
    return { module: FoundationModule, providers, exports: [Config, Database, Sequence] };
  }
}

@Module({})
export class ApiModule {
  static of(config: Config, installation: Pick<Installation, 'database' | 'sequence'>): DynamicModule {
    return {
      module: ApiModule,
      imports: [
        FoundationModule.of(config, installation),
        AccessModule,
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
