import { Authentication, KeyCache, KeyVerifier } from '#access';
import { Idempotency } from '#jobs';
import { RateLimits } from '#limits';
import { createHttpAdapter, guardStorage, markChanges, prepareHttp, RequestSlots } from '#http';
import { ByteBudget, nestLog, type Config } from '#platform';
import { ChangeNotifier, DiskReserve, ReadDatabase } from '#database';
import { RequestCounter } from '#usage';
import type { Type } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import type { Logger } from 'pino';
import type { OpenInstallation } from '../foundation.module.js';
import { ApiModule } from './api.module.js';
import { serveDocuments } from './documents.js';

/** Creates the whole HTTP server, ready to listen; the tests use it too. */
export async function createApp(
  config: Config,
  installation: OpenInstallation,
  log: Logger,
  feeds?: readonly Type[],
): Promise<NestFastifyApplication> {
  const app = await NestFactory.create<NestFastifyApplication>(
    ApiModule.of(config, installation, feeds),
    createHttpAdapter(config, log),
    { logger: nestLog(log), bodyParser: false, abortOnError: false },
  );
  const slots = new RequestSlots(installation.database, app.get(ReadDatabase), config.database);
  const finishHttp = prepareHttp(app, config, app.get(ByteBudget), (fastify) => {
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
  await app.init();
  finishHttp();
  app.get(KeyCache).listen();
  if (config.rateLimits.failures > 0) await app.get(KeyVerifier).loadLastUsed();
  return app;
}
