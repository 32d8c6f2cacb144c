import { Command, CommandRunner, Option } from 'nest-commander';
import { UsageError } from './usage-error.js';

@Command({ name: 'serve', description: 'run the server until it receives SIGTERM or SIGINT' })
export class ServeCommand extends CommandRunner {
  async run(_args: string[], { processes }: { processes?: string } = {}): Promise<void> {
    const { runServer } = await import('../api/run-server.js');
    await runServer(processes === undefined ? {} : { WEB_CONCURRENCY: processes });
  }

  @Option({
    flags: '--processes <n>',
    description:
      'processes of the server, 1 to 32, with the embedded database 8 (default: WEB_CONCURRENCY, otherwise 1)',
  })
  parseProcesses(value: string): string {
    if (/^(?:[1-9]|[12]\d|3[0-2])$/.test(value)) return value;
    throw new UsageError(`--processes must be a whole number from 1 to 32, not "${value}"`);
  }
}
