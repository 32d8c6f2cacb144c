import { Command, CommandRunner } from 'nest-commander';

@Command({ name: 'serve', description: 'run the server until it receives SIGTERM or SIGINT' })
export class ServeCommand extends CommandRunner {
  async run(): Promise<void> {
    const { runServer } = await import('../api/run-server.js');
    await runServer();
  }
}
