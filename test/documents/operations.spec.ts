import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { TestApi } from '../harness/api.js';
import { runPage } from './page-examples.js';

let api: TestApi;

beforeAll(async () => {
  api = await TestApi.shared();
});
afterAll(() => api.stop());

describe('the requests of the pages of docs/operations', () => {
  it('projects.md: set the retention of a project', async () => {
    const { outputs } = await runPage(api, 'docs/operations/projects.md');
    expect(outputs.map(parse)).toEqual([expect.objectContaining({ retention_days: 365 })]);
  });

  it('encryption.md: make a data key, list keys of a project, and read the state of the encryption', async () => {
    const { outputs } = await runPage(api, 'docs/operations/encryption.md');
    const [dataKey = '', project = '', state = ''] = outputs;
    expect(Buffer.from(dataKey, 'base64')).toHaveLength(32);
    expect(parse(project)).toMatchObject({ encrypted_keys: ['name', 'email'] });
    expect(Object.keys(parse(state))).toEqual(['pending_projects', 'oldest_change_at', 'data_keys', 'waiting']);
  });
});

function parse(output: string): object {
  return JSON.parse(output) as object;
}
