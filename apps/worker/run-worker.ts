import { JobRunner } from '#jobs';
import { nestLog, type Config } from '#platform';
import { Telemetry } from '#telemetry';
import { openInstallation, type Installation } from '#database';
import { QuotaStore } from '#usage';
import type { INestApplicationContext } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { collectMetrics } from '../collect-metrics.js';
import { ENTITIES } from '../entities.js';
import { runUntilSignal } from '../run-until-signal.js';
import { WorkerModule } from './worker.module.js';

/** The job runner has returned unfinished jobs to the queue by then; their statements are cancelled. */
const STOP_WITHIN_MS = 6_000;

/** Runs jobs until SIGTERM or SIGINT. */
export function runWorker(): Promise<void> {
  return runUntilSignal(startWorker);
}

async function startWorker(
  config: Config,
  say: (line: string) => void,
  signal: AbortSignal,
): Promise<{ stop(): Promise<void> }> {
  const telemetry = await Telemetry.start(config, 'stowage-worker', say);
  const logger = nestLog(telemetry.log);
  const options = { leasesLane: true, createsDatabase: false };
  let installation: Installation | undefined;
  let app: INestApplicationContext | undefined;
  try {
    installation = await openInstallation({ config, entities: ENTITIES, logger, telemetry, ...options, say, signal });
    const opened = installation;
    await installation.diskReserve.start();
    const module = WorkerModule.of(config, { ...installation, telemetry });
    app = await NestFactory.createApplicationContext(module, { logger, abortOnError: false });
    if (telemetry.metrics !== null) collectMetrics(app, telemetry.metrics);
    await app.get(QuotaStore).applyDefaults();
    await app.get(JobRunner).start();
    say('Stowage worker is ready');
    const running = app;
    return { stop: () => stop(running, opened).then(() => telemetry.stop()) };
  } catch (error) {
    await app?.close();
    await installation?.close();
    await telemetry.stop();
    throw error;
  }
}

async function stop(app: INestApplicationContext, installation: Installation): Promise<void> {
  const cutOff = setTimeout(() => {
    installation.database.closeActiveConnections();
  }, STOP_WITHIN_MS);
  await app.close();
  await installation.close();
  clearTimeout(cutOff);
}
