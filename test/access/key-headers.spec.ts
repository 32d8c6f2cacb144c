import { COMMAND_LINE } from '#audit';
import { ACCESS_ENTITIES, AccessModule, Authentication, DeviceService, KeyService, ProjectService } from '#access';
import { API, createHttpAdapter, prepareHttp, ProblemFilter, Rules } from '#http';
import { ByteBudget, Config } from '#platform';
import { Telemetry } from '#telemetry';
import { Controller, Get, Module } from '@nestjs/common';
import { APP_FILTER, NestFactory } from '@nestjs/core';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { FoundationModule } from '../../apps/foundation.module.js';
import { cloneDatabase, type TestDatabase } from '../harness/database.js';

const HEADERS = ['x-device-api-key', 'x-project-membership-api-key', 'api_key'];

@Controller(API)
class RoutesController {
  @Get('more-headers')
  @Rules({ roles: ['device'], keyHeaders: HEADERS })
  getMoreHeaders(): object {
    return {};
  }

  @Get('standard-headers')
  @Rules({ roles: ['device'] })
  getStandardHeaders(): object {
    return {};
  }
}

@Module({ controllers: [RoutesController], providers: [{ provide: APP_FILTER, useClass: ProblemFilter }] })
class RoutesModule {}

let db: TestDatabase;
let app: NestFastifyApplication;
let origin: string;
let device: string;
let admin: string;

beforeAll(async () => {
  db = await cloneDatabase({ entities: [...ACCESS_ENTITIES] });
  const config = new Config({ DATABASE_URL: 'postgresql://test', STOWAGE_KEY_SECRET: 'x'.repeat(32) });
  const module = { module: RoutesModule, imports: [FoundationModule.of(config, db), AccessModule] };
  const adapter = createHttpAdapter(config, Telemetry.off());
  app = await NestFactory.create<NestFastifyApplication>(module, adapter, { logger: false, bodyParser: false });
  const finishHttp = prepareHttp(
    app,
    config,
    { budget: app.get(ByteBudget), telemetry: Telemetry.off() },
    (fastify) => {
      app.get(Authentication).guard(fastify);
    },
  );
  await app.init();
  finishHttp();
  await app.listen(0, '127.0.0.1');
  origin = await app.getUrl();
  const { project_id: projectId } = await app.get(ProjectService).create({ name: 'key headers' }, COMMAND_LINE);
  device = (await app.get(DeviceService).create(projectId, 'd-1', COMMAND_LINE)).key;
  admin = (await app.get(KeyService).create({ projectId, role: 'admin', name: 'admin' }, COMMAND_LINE)).key;
});
afterAll(async () => {
  await app.close();
  await db.close();
});

async function statusOf(route: string, headers: Record<string, string>): Promise<number> {
  return (await fetch(`${origin}${API}/${route}`, { headers })).status;
}

describe('a route whose rules name additional headers for the key', () => {
  it.each([...HEADERS, 'X-Device-Api-Key', 'X-Api-Key'])('accepts the key as %s', async (name) => {
    expect(await statusOf('more-headers', { [name]: device })).toBe(200);
    expect(await statusOf('more-headers', { [name]: 'wrong' })).toBe(401);
  });

  it('uses the first of: bearer, X-Api-Key, the headers in the order of its rules', async () => {
    const order = ['authorization', 'x-api-key', ...HEADERS];
    for (const [at, first] of order.entries()) {
      for (const second of order.slice(at + 1)) {
        // A valid key without the role gets 403, which shows which of the two was used.
        const one = { [first]: first === 'authorization' ? `Bearer ${device}` : device, [second]: admin };
        expect([first, second, await statusOf('more-headers', one)]).toEqual([first, second, 200]);
        const other = { [first]: first === 'authorization' ? `Bearer ${admin}` : admin, [second]: device };
        expect([first, second, await statusOf('more-headers', other)]).toEqual([first, second, 403]);
      }
    }
  });

  it('ignores an empty header', async () => {
    expect(await statusOf('more-headers', { 'x-api-key': '', 'x-device-api-key': '', api_key: device })).toBe(200);
  });
});

describe('a route without such headers', () => {
  it.each(HEADERS)('does not accept the key as %s', async (name) => {
    expect(await statusOf('standard-headers', { [name]: device })).toBe(401);
    expect(await statusOf('standard-headers', { [name]: 'wrong', 'x-api-key': device })).toBe(200);
  });
});
