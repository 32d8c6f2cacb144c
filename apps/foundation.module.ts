import { Clock, Config } from '#platform';
import { Database, Sequence, type Installation } from '#database';
import { Global, Module, type DynamicModule } from '@nestjs/common';
import { TypeOrmModule } from '@nestjs/typeorm';

/**
 * The providers that every lib uses. The database is opened before Nest starts: an error there is one line for the user,
 * where Nest would print a stack trace.
 */
@Global()
@Module({})
export class FoundationModule {
  static of(config: Config, { database, sequence }: Pick<Installation, 'database' | 'sequence'>): DynamicModule {
    const typeOrm = TypeOrmModule.forRootAsync({
      useFactory: () => database.dataSource.options,
      dataSourceFactory: () => Promise.resolve(database.dataSource),
    });
    const providers = [
      { provide: Config, useValue: config },
      { provide: Database, useValue: database },
      { provide: Sequence, useValue: sequence },
      Clock,
    ];
    return { module: FoundationModule, imports: [typeOrm], providers, exports: [Config, Database, Sequence, Clock] };
  }
}
