import { Authentication, KeyCache, KeyVerifier } from '#access';
import { Idempotency } from '#jobs';
import { RateLimits } from '#limits';
import { createHttpAdapter, guardStorage, markChanges, prepareHttp, RequestSlots } from '#http';
import { ByteBudget, nestLog, type Config } from '#platform';
import { Telemetry } from '#telemetry';
import { ChangeNotifier, DiskReserve, ReadDatabase } from '#database';
import { RequestCounter } from '#usage';
import type { Type } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import type { OpenInstallation } from '../foundation.module.js';
import { ApiModule } from './api.module.js';
import { collectMetrics } from '../collect-metrics.js';
import { serveDocuments } from './documents.js';
import { collectServerMetrics } from './server-metrics.js';

/** Creates the whole HTTP server, ready to listen; the tests use it too. */
export async function createApp(
  config: Config,
  installation: OpenInstallation,
  feeds?: readonly Type[],
): Promise<NestFastifyApplication> {
  const { telemetry = Telemetry.off() } = installation;
  const { log, metrics } = telemetry;
  const app = await NestFactory.create<NestFastifyApplication>(
    ApiModule.of(config, { ...installation, telemetry }, feeds),
    createHttpAdapter(config, telemetry),
    { logger: nestLog(log), bodyParser: false, abortOnError: false },
  );
  const slots = new RequestSlots(installation.database, app.get(ReadDatabase), config.database);
  const budget = app.get(ByteBudget);
  const finishHttp = prepareHttp(app, config, { budget, telemetry }, (fastify) => {
    app.get(RateLimits).guard(fastify);
    app.get(Authentication).guard(fastify);
    guardStorage(fastify, app.get(DiskReserve));
    slots.guard(fastify);
    app.get(Idempotency).guard(fastify);
    slots.releaseOnSend(fastify);
    app.get(RequestCounter).guard(fastify);
    markChanges(fastify, app.get(ChangeNotifier));
  });
  serveDocuments(app);
  if (metrics !== null) {
    collectServerMetrics(metrics, slots, budget);
    collectMetrics(app, metrics);
  }
  await app.init();
  finishHttp();
  app.get(KeyCache).listen();
  if (config.rateLimits.failures > 0) await app.get(KeyVerifier).loadLastUsed();
  return app;
}
