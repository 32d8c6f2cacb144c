import { Command, CommandRunner, Option } from 'nest-commander';
import { watchOutput } from '../lost-output.js';
import { printLine } from './output.js';

interface MigrateOptions {
  plan?: boolean;
  citus?: boolean;
}

@Command({ name: 'migrate', description: 'create the database if it is missing, and run its migrations' })
export class MigrateCommand extends CommandRunner {
  async run(_: string[], { plan = false, citus = false }: MigrateOptions): Promise<void> {
    const { printPlan, runMigrations } = await import('./migrate-database.js');
    if (plan) await printPlan(printLine, citus);
    else {
      watchOutput();
      await runMigrations(printLine, citus);
    }
  }

  @Option({
    flags: '--citus',
    description: 'then distribute the tables of data over the machines of a Citus cluster; can be repeated',
  })
  parseCitus(): boolean {
    return true;
  }

  @Option({
    flags: '--plan',
    description: 'print what would run, with the locks that each statement takes, and change nothing',
  })
  parsePlan(): boolean {
    return true;
  }
}
