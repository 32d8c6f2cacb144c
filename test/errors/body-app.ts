import 'reflect-metadata';
import { createHash } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { ByteBudget, Config } from '#platform';
import { Telemetry } from '#telemetry';
import {
  type ConnectionTimes,
  createHttpAdapter,
  InputPipe,
  JsonBody,
  RequestStream,
  prepareHttp,
  Problem,
  ProblemFilter,
  Rules,
} from '#http';
import { Body, Controller, Delete, Get, Headers, Module, Post, Put, Res } from '@nestjs/common';
import { APP_FILTER, APP_PIPE, NestFactory } from '@nestjs/core';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import type { FastifyInstance, FastifyReply } from 'fastify';

/** The size and digest of a received body. */
interface Arrived {
  bytes: number;
  sha256: string;
}

@Controller('bodies')
class BodiesController {
  @Post()
  @Rules({ roles: 'anyone', consumes: ['application/json'] })
  json(@Body() { bytes }: JsonBody): Arrived {
    return { bytes: bytes.length, sha256: createHash('sha256').update(bytes).digest('hex') };
  }

  /** Takes no body. */
  @Delete()
  @Rules({ roles: 'anyone' })
  empty(): object {
    return {};
  }

  /** More than the buffers of a connection hold. */
  @Get()
  @Rules({ roles: 'anyone' })
  large(@Res() reply: FastifyReply): void {
    void reply.send(Buffer.alloc(64 * 1024 * 1024));
  }

  /** Waits for `X-Wait` milliseconds before reading the body. */
  @Put()
  @Rules({ roles: 'anyone', consumes: ['application/json', 'application/x-ndjson'] })
  async lines(@Body() body: JsonBody | RequestStream, @Headers('x-wait') waitMs?: string): Promise<Arrived> {
    if (body instanceof JsonBody) return this.json(body);
    await sleep(Number(waitMs ?? 0));
    const hash = createHash('sha256');
    let bytes = 0;
    for await (const chunk of body.bytes) {
      if (chunk.includes('STOP')) throw new Problem('invalid-body', { detail: 'It says STOP.' });
      hash.update(chunk);
      bytes += chunk.length;
    }
    return { bytes, sha256: hash.digest('hex') };
  }
}

@Module({
  controllers: [BodiesController],
  providers: [
    { provide: APP_FILTER, useClass: ProblemFilter },
    { provide: APP_PIPE, useClass: InputPipe },
  ],
})
class BodiesModule {}

function authenticate(fastify: FastifyInstance): void {
  fastify.addHook('onRequest', (request, _reply, done) => {
    if (request.headers['x-api-key'] !== undefined)
      request.principal = { keyId: '1', keyName: 'key', role: 'admin', projectId: 1, deviceId: null };
    if (request.headers['x-reject'] === undefined) done();
    else done(new Problem('unavailable', { detail: 'All slots are in use.' }));
  });
}

/**
 * The HTTP server of the product with routes that return the size and digest of a body. A request with an X-Api-Key has a
 * principal; one with X-Reject is rejected after that. @param pace the minimum rate of bodies
 */
export async function startBodyApp(
  settings: Record<string, string>,
  pace?: { graceMs: number; windowMs: number; bytesPerSecond: number },
  times?: ConnectionTimes,
): Promise<{ origin: string; app: NestFastifyApplication }> {
  const config = new Config(settings);
  const adapter = createHttpAdapter(config, Telemetry.off(), times);
  const app = await NestFactory.create<NestFastifyApplication>(BodiesModule, adapter, {
    logger: false,
    bodyParser: false,
  });
  const budget = new ByteBudget({ totalBytes: 2 ** 30, waitMs: 0, waitingPerProject: 0, waitingTotal: 0 });
  const finishHttp = prepareHttp(
    app,
    config,
    { budget, telemetry: Telemetry.off() },
    authenticate,
    pace,
    undefined,
    times,
  );
  await app.init();
  finishHttp();
  await app.listen(0, '127.0.0.1');
  return { origin: await app.getUrl(), app };
}
