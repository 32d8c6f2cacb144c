import { Command, CommandRunner } from 'nest-commander';
import { printLine } from './output.js';

@Command({ name: 'migrate', description: 'create the database if it is missing, and run its migrations' })
export class MigrateCommand extends CommandRunner {
  async run(): Promise<void> {
    const { withInstallation } = await import('./with-installation.js');
    // Opening an installation runs its pending migrations and prints how many there were.
    await withInstallation({ say: printLine, leasesLane: false, createsDatabase: true }, () => {
      printLine('the database is up to date');
    });
  }
}
