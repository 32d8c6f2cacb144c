import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync } from 'node:fs';
import { readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { settingsFor, type TestApi } from '../harness/api.js';
import { RECORDED } from '../harness/run.js';
import { createDatabase, dropDatabase } from '../harness/tables.js';
import { postBatch } from '../objects/wire.js';
import { serveWithCommands } from './served.js';
import { MAIN, type Stowage } from './stowage.js';

/** Where a command writes to: nothing can be written to `full` and `closed`. */
type Output = 'read' | 'full' | 'closed';

let api: TestApi;
let stowage: Stowage;
let settings: Record<string, string>;
let full: number;

serveWithCommands((served) => {
  ({ api, stowage } = served);
});
beforeAll(async () => {
  full = openSync('/dev/full', 'a');
  const { keys } = await api.project();
  await postBatch(api, keys.producer, 'b', [{ object_id: 'o', data: { n: 1 } }]);
  const batch = { batch_id: 'loaded', objects: [{ object_id: 'l', data: {} }] };
  await writeFile(pathOf('batch.json'), JSON.stringify(batch));
  settings = { ...settingsFor(api.db), STOWAGE_URL: api.origin, STOWAGE_API_KEY: keys.admin };
  expect(await stowage.run(['backup', pathOf('whole')])).toMatchObject({ code: 0 });
});
afterAll(() => {
  closeSync(full);
});

const pathOf = (name: string): string => join(stowage.folder, name);

/** Runs a command, which starts when the pipes are closed that nobody reads. */
async function run(
  args: string[],
  { stdout = 'read', stderr = 'read', env = {} }: { stdout?: Output; stderr?: Output; env?: Record<string, string> },
): Promise<{ code: number | null; stdout: string; stderr: string }> {
  const child = spawn('sh', ['-c', 'read _ && exec "$@"', 'sh', process.execPath, ...RECORDED, MAIN, ...args], {
    cwd: stowage.folder,
    env: { PATH: process.env.PATH, PORT: '0', LOG_LEVEL: 'silent', ...settings, ...env },
    stdio: ['pipe', stdout === 'full' ? full : 'pipe', stderr === 'full' ? full : 'pipe'],
  });
  const texts = { stdout: '', stderr: '' };
  for (const [name, output] of [
    ['stdout', stdout],
    ['stderr', stderr],
  ] as const) {
    const pipe = child[name];
    if (pipe !== null && output === 'closed') {
      pipe.destroy();
      await once(pipe, 'close');
    } else pipe?.on('data', (chunk: Buffer) => (texts[name] += chunk.toString()));
  }
  child.stdin?.end('\n');
  const [code] = (await once(child, 'close')) as [number | null];
  return { code, ...texts };
}

const REPORT = /^stowage: standard output cannot be written: \S*ENOSPC: no space left on device, write\n$/;
/** Of commander, of a table, and after a long work. */
const PRINTING = ['--help', 'key list --operator', 'check'];

describe('a command whose output cannot be written', () => {
  it.each(PRINTING)('%s: ends with 1, and says so on a full disk', async (text) => {
    const args = text.split(' ');
    expect(await Promise.all([run(args, { stdout: 'full' }), run(args, { stdout: 'closed' })])).toMatchObject([
      { code: 1, stderr: expect.stringMatching(REPORT) },
      { code: 1, stderr: '' },
    ]);
  });

  it.each(['full', 'closed'] as const)('keeps its exit code where messages are lost: %s', async (stderr) => {
    const commands = [['nonsense'], ['key', 'list', '--project', 'none'], ['backup', pathOf(`said-${stderr}`)]];
    const ended = await Promise.all(commands.map((args) => run(args, { stderr })));
    expect(ended.map(({ code }) => code)).toEqual([2, 1, 0]);
  });

  it.each(['full', 'closed'] as const)(
    'ends its work where its result is a file or the database: %s',
    async (stdout) => {
      const address = await createDatabase('template0');
      const target = settingsFor({ address });
      try {
        for (const [args, env] of [
          [['backup', pathOf(`backup-${stdout}`)]],
          [['restore', pathOf('whole')], target],
          [['migrate'], target],
          [['export', '--output', pathOf(`export-${stdout}`)]],
          [['load', pathOf('batch.json')]],
        ] as [string[], Record<string, string>?][]) {
          const { code, stderr } = await run(args, { stdout, ...(env && { env }) });
          expect([args, code, stderr]).toEqual([args, 0, expect.not.stringMatching(/standard output|Error|\n {4}at /)]);
        }
        const names = await readdir(stowage.folder);
        expect(names).toEqual(expect.arrayContaining([`backup-${stdout}`, `export-${stdout}`]));
        expect(names.filter((name) => name.endsWith('.part'))).toEqual([]);
      } finally {
        await dropDatabase(address);
      }
    },
  );

  it.each(['serve', 'worker'])('%s runs on, and stops cleanly', async (command) => {
    const running = stowage.start([command], { WORKER: 'separate' });
    await running.prints(/Stowage (worker )?is ready/);
    running.child.stdout?.destroy();
    running.child.kill('SIGTERM');
    expect(await running.ended).toMatchObject({ code: 0, stderr: '' });
  });
});
