import { AccessModule, Authentication, DeviceService, KeyService, ProjectService } from '#access';
import { API, createHttpAdapter, prepareHttp, ProblemFilter, Rules } from '#http';
import { Config, createLog } from '#platform';
import { Controller, Get, Module } from '@nestjs/common';
import { APP_FILTER, NestFactory } from '@nestjs/core';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { FoundationModule } from '../../apps/foundation.module.js';
import { cloneDatabase, type TestDatabase } from '../harness/database.js';

const HEADERS = ['x-device-api-key', 'x-project-membership-api-key', 'api_key'];

@Controller(API)
class DoorsController {
  @Get('wide')
  @Rules({ roles: ['device'], keyHeaders: HEADERS })
  wide(): object {
    return {};
  }

  @Get('narrow')
  @Rules({ roles: ['device'] })
  narrow(): object {
    return {};
  }
}

@Module({ controllers: [DoorsController], providers: [{ provide: APP_FILTER, useClass: ProblemFilter }] })
class DoorsModule {}

let db: TestDatabase;
let app: NestFastifyApplication;
let origin: string;
let device: string;
let admin: string;

beforeAll(async () => {
  db = await cloneDatabase();
  const config = new Config({ DATABASE_URL: 'postgresql://test', STOWAGE_KEY_SECRET: 'x'.repeat(32) });
  const module = { module: DoorsModule, imports: [FoundationModule.of(config, db), AccessModule] };
  const adapter = createHttpAdapter(config, createLog('silent'));
  app = await NestFactory.create<NestFastifyApplication>(module, adapter, { logger: false, bodyParser: false });
  const finishHttp = prepareHttp(app, config, (fastify) => {
    app.get(Authentication).guard(fastify);
  });
  await app.init();
  finishHttp();
  await app.listen(0, '127.0.0.1');
  origin = await app.getUrl();
  const { project_id: projectId } = await app.get(ProjectService).create('doors');
  device = (await app.get(DeviceService).create(projectId, 'd-1')).key;
  admin = (await app.get(KeyService).create({ projectId, role: 'admin', name: 'admin' })).key;
});
afterAll(async () => {
  await app.close();
  await db.close();
});

async function statusOf(door: string, headers: Record<string, string>): Promise<number> {
  return (await fetch(`${origin}${API}/${door}`, { headers })).status;
}

describe('a route that names more headers for the key', () => {
  it.each([...HEADERS, 'X-Device-Api-Key', 'X-Api-Key'])('takes it as %s', async (name) => {
    expect(await statusOf('wide', { [name]: device })).toBe(200);
    expect(await statusOf('wide', { [name]: 'wrong' })).toBe(401);
  });

  it('takes the first that is there, in the order bearer, X-Api-Key, then as it names them', async () => {
    const order = ['authorization', 'x-api-key', ...HEADERS];
    for (const [at, first] of order.entries()) {
      for (const second of order.slice(at + 1)) {
        // An admin's key is good, and refused: that tells which of the two was read.
        const one = { [first]: first === 'authorization' ? `Bearer ${device}` : device, [second]: admin };
        expect([first, second, await statusOf('wide', one)]).toEqual([first, second, 200]);
        const other = { [first]: first === 'authorization' ? `Bearer ${admin}` : admin, [second]: device };
        expect([first, second, await statusOf('wide', other)]).toEqual([first, second, 403]);
      }
    }
  });

  it('takes an empty one as none', async () => {
    expect(await statusOf('wide', { 'x-api-key': '', 'x-device-api-key': '', api_key: device })).toBe(200);
  });
});

describe('a route that names none', () => {
  it.each(HEADERS)('does not take it as %s', async (name) => {
    expect(await statusOf('narrow', { [name]: device })).toBe(401);
    expect(await statusOf('narrow', { [name]: 'wrong', 'x-api-key': device })).toBe(200);
  });
});
