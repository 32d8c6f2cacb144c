import { Command, CommandRunner } from 'nest-commander';
import { printLine } from './output.js';

@Command({ name: 'migrate', description: 'run the pending migrations of the database' })
export class MigrateCommand extends CommandRunner {
  async run(): Promise<void> {
    const { withInstallation } = await import('./with-installation.js');
    // Opening an installation runs its pending migrations and prints how many there were.
    await withInstallation({ say: printLine, leasesLane: false }, () => {
      printLine('the database is up to date');
    });
  }
}
