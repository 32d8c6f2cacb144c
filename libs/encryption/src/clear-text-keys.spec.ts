import { readFile } from 'node:fs/promises';
import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { TestApp } from '../../../test/harness/app.js';
import { ClearTextKeys } from './clear-text-keys.js';

let api: TestApp;
beforeAll(async () => {
  api = await TestApp.start({ WORKER: 'separate' });
});
afterAll(() => api.stop());

it('has the keys that feeds store and query, which docs/operations/encryption.md names', async () => {
  const page = await readFile('docs/operations/encryption.md', 'utf8');
  const [, sentence = ''] = /keys that feeds store and query are rejected: ([^.]+)\./.exec(page) ?? [];
  const documented = Array.from(sentence.matchAll(/`(\w+)`/g), ([, key = '']) => key);
  expect(documented.toSorted()).toEqual([...api.app.get(ClearTextKeys).reserved].toSorted());
});
