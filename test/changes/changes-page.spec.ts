import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { runPage } from '../documents/page-examples.js';
import { TestApi } from '../harness/api.js';

let api: TestApi;

beforeAll(async () => {
  api = await TestApi.shared();
});
afterAll(() => api.stop());

describe('docs/changes.md', () => {
  it('shows the responses that its requests get in an empty project', async () => {
    const { outputs, shown } = await runPage(api, 'docs/changes.md');
    expect(shown.length).toBeGreaterThan(3);
    expect(outputs).toEqual(shown);
  });
});
