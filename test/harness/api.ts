import 'reflect-metadata';
import { DeviceService, KeyService, ProjectService } from '#access';
import { Config, createLog } from '#platform';
import { type Role } from '#http';
import type { Type } from '@nestjs/common';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import { createApp } from '../../apps/api/create-app.js';
import { cloneDatabase, type TestDatabase } from './database.js';

/** An answer, read whole. */
export interface Reply {
  status: number;
  headers: Headers;
  text: string;
  /** The body as JSON, of a shape that the test knows; throws when it is none. */
  // eslint-disable-next-line @typescript-eslint/no-unnecessary-type-parameters -- a cast at the one place where JSON comes in
  json: <T = unknown>() => T;
}

export interface CallOptions {
  key?: string | undefined;
  /** Text or bytes go as they are, anything else as JSON. */
  body?: unknown;
  headers?: Record<string, string>;
}

/** A project of a test's own, with a key for each role. */
export interface TestProject {
  projectId: number;
  /** The device that the key of the role device is bound to. */
  deviceId: string;
  keys: Record<Exclude<Role, 'operator'>, string>;
}

/** The whole product over HTTP, as `stowage serve` starts it, on a database of the test file's own. */
export class TestApi {
  private constructor(
    readonly app: NestFastifyApplication,
    readonly db: TestDatabase,
    readonly origin: string,
    readonly operatorKey: string,
  ) {}

  /** @param feeds beside or instead of the product's own */
  static async start(settings: Record<string, string> = {}, feeds?: readonly Type[]): Promise<TestApi> {
    const db = await cloneDatabase();
    const config = new Config({
      DATABASE_URL: 'postgresql://given-to-the-installation-directly',
      STOWAGE_KEY_SECRET: 'a secret of the tests, 32 characters',
      ...settings,
    });
    try {
      const app = await createApp(config, db, createLog('silent'), feeds);
      await app.listen(0, '127.0.0.1');
      const operator = await app.get(KeyService).create({ projectId: null, role: 'operator', name: 'test operator' });
      return new TestApi(app, db, await app.getUrl(), operator.key);
    } catch (error) {
      await db.close();
      throw error;
    }
  }

  async stop(): Promise<void> {
    await this.app.close();
    await this.db.close();
  }

  async project(): Promise<TestProject> {
    const { project_id: projectId } = await this.app
      .get(ProjectService)
      .create(`project-${Math.random().toString(36)}`);
    const keys = this.app.get(KeyService);
    const make = async (role: Role): Promise<string> => (await keys.create({ projectId, role, name: role })).key;
    const deviceId = `device-${String(projectId)}`;
    return {
      projectId,
      deviceId,
      keys: {
        admin: await make('admin'),
        producer: await make('producer'),
        analyst: await make('analyst'),
        device: (await this.app.get(DeviceService).create(projectId, deviceId)).key,
      },
    };
  }

  /** @param path below /api/v1, or a complete URL as the API gave it */
  async call(method: string, path: string, { key, body, headers = {} }: CallOptions = {}): Promise<Reply> {
    const isRaw = typeof body === 'string' || body instanceof Uint8Array;
    const response = await fetch(path.startsWith('http') ? path : `${this.origin}/api/v1${path}`, {
      method,
      headers: {
        ...(key === undefined ? {} : { 'X-Api-Key': key }),
        ...(body === undefined ? {} : { 'Content-Type': 'application/json' }),
        ...headers,
      },
      ...(body === undefined ? {} : { body: isRaw ? (body as string) : JSON.stringify(body) }),
      redirect: 'manual',
    });
    const text = await response.text();
    return { status: response.status, headers: response.headers, text, json: () => JSON.parse(text) as never };
  }
}
