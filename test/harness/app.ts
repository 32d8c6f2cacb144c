import 'reflect-metadata';
import { FIRST_START } from '#audit';
import { KeyService } from '#access';
import { Config } from '#platform';
import type { Type } from '@nestjs/common';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import { createApp } from '../../apps/api/create-app.js';
import { ENTITIES } from '../../apps/entities.js';
import { settingsFor, TestApi } from './api.js';
import { cloneDatabase, type TestDatabase } from './database.js';
import { RUN } from './run.js';

/**
 * A server in the process of the spec, with its own database, for specs that need the application itself: other feeds, a
 * replaced provider, or a method that no route calls. Loading the product takes such a spec some seconds.
 */
export class TestApp extends TestApi {
  private constructor(
    readonly app: NestFastifyApplication,
    override readonly db: TestDatabase,
    origin: string,
  ) {
    super(origin, db, async () => {
      await app.close();
      await db.close();
    });
  }

  /** @param feeds modules that replace the feeds of the product */
  static override async start(settings: Record<string, string> = {}, feeds?: readonly Type[]): Promise<TestApp> {
    const db = await cloneDatabase({ entities: ENTITIES });
    const config = new Config({ ...settingsFor(db), ...settings });
    try {
      const app = await createApp(config, db, feeds);
      await app.listen(0, '127.0.0.1');
      const operator = { projectId: null, role: 'operator', name: 'test operator' } as const;
      await app.get(KeyService).ensure(operator, RUN.operatorKey, FIRST_START);
      return new TestApp(app, db, await app.getUrl());
    } catch (error) {
      await db.close();
      throw error;
    }
  }
}
