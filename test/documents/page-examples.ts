import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { TestApi } from '../harness/api.js';

const ORIGIN = 'http://127.0.0.1:8000';
const PROJECT_ID = '1804289383';
/** Separates the outputs of the commands. */
const END = '\u0001';

interface PageRun {
  outputs: string[];
  shown: string[];
}

/**
 * Runs the commands of a page in an empty project, in one shell with the variables KEY, OPERATOR_KEY and API.
 * @param inspect gets the folder with the files that the commands have written
 * @returns the outputs, and those that the page shows, both without what differs between servers or requests
 */
export async function runPage(
  api: TestApi,
  path: string,
  inspect?: (folder: string) => Promise<void>,
): Promise<PageRun> {
  const blocks = (await readFile(path, 'utf8')).matchAll(/^```sh\n(.*?)^```$(?:\n\n```text\n(.*?)^```$)?/gms);
  const examples = Array.from(blocks, ([, command = '', output = '']) => ({ command, output }));
  const script = examples.map(({ command }) => `${command}printf '${END}'\n`).join('');
  const { projectId, keys } = await api.project();
  const env = { PATH: process.env.PATH, KEY: keys.admin, OPERATOR_KEY: api.operatorKey, API: `${api.origin}/api/v1` };
  const folder = await mkdtemp(join(tmpdir(), 'stowage-page-'));
  try {
    const commands = script.replaceAll(ORIGIN, api.origin).replaceAll(PROJECT_ID, String(projectId));
    const run = promisify(execFile)('sh', ['-c', commands], { cwd: folder, env });
    const outputs = (await run).stdout.split(END).slice(0, -1);
    await inspect?.(folder);
    const normalized = (output: string): string => normalize(output.replaceAll(api.origin, ORIGIN));
    return { outputs: outputs.map(normalized), shown: examples.map(({ output }) => normalize(output)) };
  } finally {
    await rm(folder, { recursive: true });
  }
}

function normalize(output: string): string {
  return output
    .replaceAll(/"(created_at|finished_at)":"[^"]+"/g, '"$1":"(a time)"')
    .replaceAll(/"request_id":"[^"]+"/g, '"request_id":"(an id)"')
    .replaceAll(/"id":"\d+"/g, '"id":"(a job)"')
    .replaceAll(/\/jobs\/\d+/g, '/jobs/(a job)')
    .trim();
}
