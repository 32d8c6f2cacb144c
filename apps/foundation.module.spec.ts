import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { Config } from '#platform';
import { BatchEntity } from '#store';
import { NestFactory } from '@nestjs/core';
import { getRepositoryToken, TypeOrmModule } from '@nestjs/typeorm';
import type { Repository } from 'typeorm';
import { cloneDatabase, type TestDatabase } from '../test/harness/database.js';
import { FoundationModule } from './foundation.module.js';

let db: TestDatabase;
beforeAll(async () => {
  db = await cloneDatabase({ entities: [BatchEntity] });
});
afterAll(() => db.close());

it('registers the open database with TypeORM, and leaves it open when the application shuts down', async () => {
  const config = new Config({ DATABASE_URL: 'postgresql://unused', STOWAGE_KEY_SECRET: 'x'.repeat(32) });
  class TestModule {}
  const imports = [FoundationModule.of(config, db), TypeOrmModule.forFeature([BatchEntity])];
  const app = await NestFactory.createApplicationContext({ module: TestModule, imports }, { logger: false });
  const batches = app.get<Repository<BatchEntity>>(getRepositoryToken(BatchEntity));
  expect(await batches.countBy({ project_id: 1 })).toBe(0);
  await app.close();
  expect(await batches.countBy({ project_id: 1 })).toBe(0);
  expect(await db.database.query('SELECT 1 AS one')).toEqual([{ one: 1 }]);
});
