import { once } from 'node:events';
import { openInstallation } from '#database';
import { createLog, nestLog, type Config } from '#platform';
import { Module } from '@nestjs/common';
import { repl } from '@nestjs/core';
import { ENTITIES } from '../entities.js';
import { readConfig } from '../read-config.js';
import { WorkerModule } from '../worker/worker.module.js';
import { printMessage } from './output.js';

@Module({})
class ShellModule {}

/**
 * Runs Nest's prompt until it is closed: `await get(ProjectService).findByName('default')`, `methods(KeyService)`,
 * `help()`. It runs no jobs.
 */
export async function openShell(): Promise<void> {
  const config = readConfig();
  const logger = nestLog(createLog(config.log.level));
  const installation = await openInstallation({
    config,
    entities: ENTITIES,
    logger,
    leasesLane: true,
    createsDatabase: false,
    say: printMessage,
  });
  const withoutJobs: Config = { ...config, jobs: { ...config.jobs, worker: 'separate' } };
  // The prompt closes its Nest application when it ends, without a way to await that. The last shutdown hook closes the
  // database, so that no provider uses it afterwards.
  const closeDatabase = { provide: 'CLOSE_DATABASE', useValue: { onApplicationShutdown: () => installation.close() } };
  const prompt = await repl({
    module: ShellModule,
    imports: [WorkerModule.of(withoutJobs, installation)],
    providers: [closeDatabase],
  });
  await once(prompt, 'exit');
}
