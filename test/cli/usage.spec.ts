import { access, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { Stowage, type Ended } from './stowage.js';

let stowage: Stowage;

beforeAll(async () => {
  stowage = await Stowage.create({ STOWAGE_API_KEY: 'not-used-by-these-commands' });
});
afterAll(() => stowage.remove());

/** Runs a command; `serve` and `worker` in their own process, which they end themselves. */
function run(words: string, settings: Record<string, string>): Promise<Ended> {
  const args = words.split(' ');
  return ['serve', 'worker'].includes(words) ? stowage.start(args, settings).ended : stowage.run(args, settings);
}

describe('stowage', () => {
  it('lists its commands, each with one line', async () => {
    const { code, stdout, stderr } = await stowage.start(['--help']).ended;
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    for (const command of [
      'serve',
      'migrate',
      'load [options] <source...>',
      'project',
      'key',
      'device',
      'audit',
      'check [options]',
      'demo [options]',
      'shell',
    ]) {
      expect(
        stdout.split('\n').filter((line) => line.startsWith(`  ${command}  `) || line.startsWith(`  ${command} `)),
      ).toHaveLength(1);
    }
    expect(Math.max(...stdout.split('\n').map((line) => line.length))).toBeLessThanOrEqual(80);
  });

  it('prints the version of the package', async () => {
    const { version } = JSON.parse(await readFile('package.json', 'utf8')) as { version: string };
    expect(await stowage.start(['--version']).ended).toEqual({ code: 0, stdout: `${version}\n`, stderr: '' });
  });

  it.each([
    ['an unknown command', ['lod', 'x.json'], "unknown command 'lod' (Did you mean load?)"],
    ['an unknown subcommand', ['project', 'drop'], "unknown command 'project drop'"],
    ['an unknown option', ['serve', '--port', '1'], "unknown option '--port'"],
    ['an unknown option of a subcommand', ['key', 'list', '--all'], "unknown option '--all'"],
    ['a missing argument', ['load'], "missing required argument 'source'"],
    ['a missing option', ['key', 'create'], "required option '--role <role>' not specified"],
    ['a move without a target', ['device', 'move', 'd-1'], "required option '--to <name or id>' not specified"],
    ['an excess argument', ['migrate', 'now'], "too many arguments for 'migrate'"],
    ['an invalid client setting', ['load', 'x.json', '--url', 'ftp://x'], '--url must be a URL'],
  ])('rejects %s with one line and exits with 2', async (_, args, message) => {
    const { code, stdout, stderr } = await stowage.run(args);
    expect(stderr).toMatch(/^stowage: .*\n$/);
    expect(stderr).toContain(message);
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
  });

  it.each([[[]], [['key']]])('prints the help and exits with 2 without a command: %j', async (args) => {
    const { code, stdout, stderr } = await stowage.run(args);
    expect(stderr).toMatch(/^Usage: stowage /);
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
  });

  it.each(['project list', 'key create --role admin', 'audit verify', 'check', 'demo', 'shell', 'worker'])(
    '%s creates no database in a folder without one',
    async (words) => {
      const data = join(stowage.folder, 'nowhere');
      const settings = { STOWAGE_DATA_DIR: data, STOWAGE_URL: 'http://127.0.0.1:8000' };
      const { code, stdout, stderr } = await run(words, settings);
      expect(stderr).toMatch(/^stowage: no database in \S+nowhere\/postgres; use the folder of the server, .*\n$/);
      expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
      await expect(access(data)).rejects.toThrow('ENOENT');
    },
  );

  it.each([['serve'], ['migrate'], ['project list']])(
    '%s names an invalid setting in one line and exits with 1',
    async (words) => {
      const { code, stdout, stderr } = await run(words, { PORT: 'eighty' });
      expect(stderr).toBe('stowage: PORT must be a whole number from 0 to 65535, not "eighty"\n');
      expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
    },
  );
});
