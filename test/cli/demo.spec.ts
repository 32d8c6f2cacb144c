import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { Stowage, type Ended } from './stowage.js';

/** A server; the command opens the same embedded database while it runs. */
let stowage: Stowage;
let origin: string;

beforeAll(async () => {
  stowage = await Stowage.create();
  origin = await stowage.serve();
});
afterAll(() => stowage.remove());

function demo(...args: string[]): Promise<Ended> {
  return stowage.run(['demo', ...args], { STOWAGE_URL: origin });
}

describe('stowage demo', () => {
  it('creates a project and prints requests that work when pasted into a shell', async () => {
    const { code, stdout, stderr } = await demo('--devices', '2');
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(stdout).toMatch(
      /^project \d+ {2}demo-1\ncreated in the database of \S+; the requests need a server that uses this database\n/,
    );
    const devices = stdout.match(/^device-\d+-\d +stw_device_\w+$/gm) ?? [];
    expect(devices).toHaveLength(2);
    const [deviceId = ''] = devices[0]?.split(' ') ?? [];

    const lines = stdout.split('\n').filter((line) => line.startsWith('  curl '));
    const answers: unknown[] = [];
    for (const line of lines) answers.push(JSON.parse((await promisify(execFile)('sh', ['-c', line])).stdout));
    const [event, events, batch] = answers;
    expect(event).toMatchObject({ device_id: deviceId, version: '2.0.0', status: 'updated' });
    const versions = ['1.2.0', '1.1.0', '1.0.0'].map((version) => ({ device_id: deviceId, version }));
    expect(events).toMatchObject([event, ...versions]);
    expect(batch).toMatchObject({ batch_id: 'hello', object_count: 1 });
  });

  it('creates another project in a second run, and a project with a given name', async () => {
    expect((await demo('--devices', '1')).stdout).toMatch(/^project \d+ {2}demo-2\n/);
    const named = await demo('--project', "it's mine");
    expect(named.stdout).toMatch(/^project \d+ {2}it's mine\n/);
    expect(named.stdout.match(/^device-/gm)).toHaveLength(5);
    expect(await demo('--project', "it's mine")).toEqual({
      code: 1,
      stdout: '',
      stderr: 'stowage: The project name "it\'s mine" exists already.\n',
    });
  });

  it.each([
    [['--devices', '0'], '--devices must be a whole number from 1 to 1000'],
    [['--devices', '1001'], '--devices must be a whole number from 1 to 1000'],
    [['--devices', '1e2'], '--devices must be a whole number from 1 to 1000'],
    [['--project', ''], '--project must be 1 to 255 characters; got 0'],
  ])('rejects %j with one line', async (args, line) => {
    const ended = await demo(...args);
    expect(ended.stderr).toMatch(/^stowage: .*\n$/);
    expect(ended.stderr).toContain(line);
    expect(ended).toMatchObject({ code: 2, stdout: '' });
  });
});
