import { ByteBudget, Clock, Config } from '#platform';
import { Telemetry } from '#telemetry';
import { ChangeNotifier, Database, DiskReserve, ReadDatabase, Sequence, type Installation } from '#database';
import { Global, Module, type DynamicModule } from '@nestjs/common';
import { TypeOrmModule } from '@nestjs/typeorm';

/**
 * How long a request waits for memory. Waiting costs a producer less than a 503 and sending a large body again; five seconds is
 * the time after which a 503 asks it to retry.
 */
const MEMORY_WAIT_MS = 5_000;
/** A waiting request holds a connection and the first 64 to 128 KiB of its body. */
const MEMORY_WAITING = { waitingPerProject: 50, waitingTotal: 400 };

/** The parts of an installation that the providers use. */
export type OpenInstallation = Pick<Installation, 'database' | 'sequence'> &
  Partial<Pick<Installation, 'diskReserve' | 'readDatabase'> & { telemetry: Telemetry }>;

/**
 * The providers that every lib uses. The database is opened before Nest starts: an error there is one line for the user,
 * where Nest would print a stack trace.
 */
@Global()
@Module({})
export class FoundationModule {
  static of(config: Config, installation: OpenInstallation): DynamicModule {
    const { database, sequence, diskReserve = DiskReserve.none() } = installation;
    const { readDatabase = ReadDatabase.ofPrimary(database), telemetry = Telemetry.off() } = installation;
    const typeOrm = TypeOrmModule.forRootAsync({
      useFactory: () => database.dataSource.options,
      dataSourceFactory: () => Promise.resolve(database.dataSource),
    });
    const budget = new ByteBudget({
      totalBytes: config.limits.memoryBudgetBytes,
      waitMs: MEMORY_WAIT_MS,
      ...MEMORY_WAITING,
    });
    const providers = [
      { provide: Config, useValue: config },
      { provide: Telemetry, useValue: telemetry },
      { provide: Database, useValue: database },
      { provide: ReadDatabase, useValue: readDatabase },
      { provide: Sequence, useValue: sequence },
      { provide: DiskReserve, useValue: diskReserve },
      { provide: ByteBudget, useValue: budget },
      { provide: ChangeNotifier, useFactory: () => new ChangeNotifier(database) },
      Clock,
    ];
    return {
      module: FoundationModule,
      imports: [typeOrm],
      providers,
      exports: [Config, Telemetry, Database, ReadDatabase, Sequence, DiskReserve, ByteBudget, ChangeNotifier, Clock],
    };
  }
}
