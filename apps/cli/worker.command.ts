import { Command, CommandRunner } from 'nest-commander';

@Command({
  name: 'worker',
  description: 'run background jobs until it receives SIGTERM or SIGINT; several workers can run',
})
export class WorkerCommand extends CommandRunner {
  async run(): Promise<void> {
    const { runWorker } = await import('../worker/run-worker.js');
    await runWorker();
  }
}
