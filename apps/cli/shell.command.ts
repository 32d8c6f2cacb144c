import { Command, CommandRunner } from 'nest-commander';

@Command({ name: 'shell', description: 'open a Node.js prompt with the services, on the database' })
export class ShellCommand extends CommandRunner {
  async run(): Promise<void> {
    const { openShell } = await import('./shell.js');
    await openShell();
  }
}
