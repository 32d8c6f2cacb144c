import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, expect, it } from '@jest/globals';
import type { Queryable } from '#database';
import { TestApp } from '../../../test/harness/app.js';
import { OpenedBatch } from './opened-batch.js';

let api: TestApp;

beforeAll(async () => {
  api = await TestApp.start({ WORKER: 'separate', STOWAGE_DATA_KEY: randomBytes(32).toString('base64') });
});
afterAll(() => api.stop());

it('reads nothing of a project without encrypted values, and both batches of another one', async () => {
  const statements: string[] = [];
  const tx: Queryable = {
    query: (statement) => {
      statements.push(typeof statement === 'string' ? statement : statement.text);
      return Promise.resolve([]);
    },
  };
  const project = await api.project();
  const isSame = (): Promise<boolean> => api.app.get(OpenedBatch).isSame(tx, [project.projectId, 'b']);
  expect([await isSame(), statements]).toEqual([false, []]);
  const path = `/projects/${String(project.projectId)}`;
  await api.call('PATCH', path, { key: api.operatorKey, body: { encrypted_keys: ['name'] } });
  expect(await isSame()).toBe(true);
  expect(statements.map((text) => text.trim().split(/\s+/).slice(0, 2).join(' '))).toEqual([
    'SELECT greatest((SELECT',
    'DECLARE staged_batch',
    'DECLARE stored_batch',
    'FETCH 1',
    'FETCH 1',
    'CLOSE staged_batch',
    'CLOSE stored_batch',
  ]);
});
