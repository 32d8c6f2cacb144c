import { Command, CommandRunner } from 'nest-commander';
import { printLine } from './output.js';

@Command({ name: 'migrate', description: 'bring the tables of the database up to date' })
export class MigrateCommand extends CommandRunner {
  async run(): Promise<void> {
    const { withInstallation } = await import('./with-installation.js');
    // Opening an installation migrates it, and says so when there was something to do.
    await withInstallation(printLine, () => {
      printLine('the tables are up to date');
    });
  }
}
