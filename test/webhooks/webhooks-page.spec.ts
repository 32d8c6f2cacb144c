import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { runPage } from '../documents/page-examples.js';
import { TestApi } from '../harness/api.js';

let api: TestApi;

beforeAll(async () => {
  // Nothing is sent: the receiver of the page does not exist.
  api = await TestApi.start({ WORKER: 'separate' });
});
afterAll(() => api.stop());

describe('docs/webhooks.md', () => {
  it('shows the responses that its requests get in an empty project', async () => {
    const { outputs, shown } = await runPage(api, 'docs/webhooks.md');
    expect(shown).toHaveLength(2);
    expect(outputs).toEqual(shown);
  });
});
