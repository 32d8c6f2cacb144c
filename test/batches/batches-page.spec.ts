import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { TestApi } from '../harness/api.js';

const ORIGIN = 'http://127.0.0.1:8000';
/** Separates the outputs of the commands. */
const END = '\u0001';

let api: TestApi;
let folder: string;

beforeAll(async () => {
  api = await TestApi.shared();
  folder = await mkdtemp(join(tmpdir(), 'stowage-batches-'));
});
afterAll(async () => {
  await rm(folder, { recursive: true });
  await api.stop();
});

/** The commands of the page, each with the output that the page shows below it. */
function examplesOf(page: string): { command: string; output: string }[] {
  const blocks = page.matchAll(/^```sh\n(.*?)^```$(?:\n\n```text\n(.*?)^```$)?/gms);
  return Array.from(blocks, ([, command = '', output = '']) => ({ command, output }));
}

/** Replaces the parts that differ between servers or requests. */
function normalize(output: string): string {
  return output
    .replaceAll(api.origin, ORIGIN)
    .replaceAll(/"(\w+_at)":"[^"]+"/g, '"$1":"(a time)"')
    .replaceAll(/"request_id":"[^"]+"/g, '"request_id":"(an id)"')
    .replaceAll(/"id":"\d+"/g, '"id":"(a job)"')
    .replaceAll(/\/jobs\/\d+/g, '/jobs/(a job)')
    .trim();
}

describe('docs/batches.md', () => {
  it('shows the responses that its requests get in an empty project', async () => {
    const examples = examplesOf(await readFile('docs/batches.md', 'utf8'));
    expect(examples.length).toBeGreaterThan(10);
    const script = examples.map(({ command }) => `${command}printf '${END}'\n`).join('');
    const { admin } = (await api.project()).keys;
    const env = { PATH: process.env.PATH, KEY: admin };
    const run = promisify(execFile)('sh', ['-c', script.replaceAll(ORIGIN, api.origin)], { cwd: folder, env });
    const outputs = (await run).stdout.split(END).slice(0, -1);
    expect(outputs.map(normalize)).toEqual(examples.map(({ output }) => normalize(output)));
  });
});
