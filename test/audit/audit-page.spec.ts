import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { TestApi } from '../harness/api.js';

let api: TestApi;

beforeAll(async () => {
  api = await TestApi.shared();
});
afterAll(() => api.stop());

interface Entry {
  number: number;
  created_at: string;
  hash: string;
}

describe('docs/audit.md', () => {
  it('has a program that computes the hashes of a chain from the API, also of times that end in zeros', async () => {
    const { projectId, keys } = await api.project();
    const key = keys.admin;
    // The time of an entry is never before the one of the head.
    const at = '2099-01-01T00:00:00.500000Z';
    await api.db.sql('UPDATE audit_chains SET at = $2 WHERE project_id = $1', [projectId, at]);
    for (const id of ['Zoë \u{1f4e6}', 'a"b\\c']) {
      await api.call('POST', '/batches', { key, body: { batch_id: id, objects: [{ object_id: id, data: {} }] } });
      await api.call('DELETE', `/batches/${encodeURIComponent(id)}?cascade=true`, { key });
    }
    const { results } = (await api.call('GET', '/audit', { key })).json<{ results: Entry[] }>();
    expect(results.slice(0, 2).map(({ created_at }) => created_at)).toEqual([at, at]);

    const [, program = ''] = /^```js\n(.*?)^```$/ms.exec(await readFile('docs/audit.md', 'utf8')) ?? [];
    const env = { PATH: process.env.PATH, API: `${api.origin}/api/v1`, KEY: key };
    const { stdout } = await promisify(execFile)('node', ['--input-type=module', '-e', program], { env });
    expect(stdout).toBe(`${String(results[0]?.number)}:${results[0]?.hash ?? ''}\n`);
  });
});
