import { Command, CommandRunner } from 'nest-commander';

@Command({ name: 'worker', description: 'run the jobs until a signal ends it; any number of them may run' })
export class WorkerCommand extends CommandRunner {
  async run(): Promise<void> {
    const { runWorker } = await import('../worker/run-worker.js');
    await runWorker();
  }
}
