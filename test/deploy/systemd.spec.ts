import { execFile } from 'node:child_process';
import { access, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { beforeAll, describe, expect, it } from '@jest/globals';
import { isMissingTool } from './tools.js';

const FOLDER = 'deploy/systemd';
/** The server needs 10 s at most. */
const STOP_SECONDS = 10;

const units = new Map<string, string>();

beforeAll(async () => {
  for (const name of await readdir(FOLDER)) units.set(name, await readFile(join(FOLDER, name), 'utf8'));
});

function valueOf(unit: string, name: string): string | undefined {
  return new RegExp(`^${name}=(.*)$`, 'm').exec(unit)?.[1];
}

/** What systemd says about the units with the Node.js of this machine; null where systemd is not installed. */
async function verify(files: Map<string, string>): Promise<{ failed: boolean; output: string } | null> {
  const folder = await mkdtemp(join(tmpdir(), 'stowage-systemd-'));
  try {
    for (const [name, text] of files)
      await writeFile(join(folder, name), text.replace('ExecStart=/usr/bin/node', `ExecStart=${process.execPath}`));
    const paths = [...files.keys()].map((name) => join(folder, name));
    const { stdout, stderr } = await promisify(execFile)('systemd-analyze', ['verify', '--man=no', ...paths]);
    return { failed: false, output: ownLines(stdout + stderr) };
  } catch (error) {
    if (isMissingTool(error)) return null;
    const { message, stdout, stderr } = error as { message: string; stdout: string; stderr: string };
    return { failed: true, output: ownLines(stdout + stderr) || message };
  } finally {
    await rm(folder, { recursive: true });
  }
}

/** Without what it says about other units of the machine, which it loads with them. */
function ownLines(output: string): string {
  return output
    .split('\n')
    .filter((line) => line.includes('stowage'))
    .join('\n');
}

describe('the units for systemd', () => {
  it('are valid for systemd', async () => {
    expect([...units.keys()].sort()).toEqual(['stowage-worker.service', 'stowage.service']);
    const result = await verify(units);
    if (result === null) return;
    expect(result).toEqual({ failed: false, output: '' });
    const misspelled = new Map([...units].map(([name, text]) => [name, text.replace('Restart=', 'Restrat=')]));
    expect((await verify(misspelled))?.output).toContain('Restrat');
  });

  it('start programs of the build, as their own user and without privileges', async () => {
    for (const [, text] of units) {
      const [, program, ...rest] = valueOf(text, 'ExecStart')?.split(' ') ?? [];
      await access(program ?? '');
      expect(rest).toEqual([]);
      expect(valueOf(text, 'User')).toBe('stowage');
      expect(valueOf(text, 'CapabilityBoundingSet')).toBe('');
      for (const name of ['NoNewPrivileges', 'PrivateTmp', 'ProtectHome', 'RestrictNamespaces'])
        expect([name, valueOf(text, name)]).toEqual([name, 'true']);
    }
  });

  it('read the same settings, which a file of the worker overrides: on one machine it needs another METRICS_PORT', () => {
    const filesOf = (name: string): (string | undefined)[] =>
      [...(units.get(name) ?? '').matchAll(/^EnvironmentFile=(.*)$/gm)].map(([, file]) => file);
    expect(filesOf('stowage.service')).toEqual(['/etc/stowage/stowage.env']);
    expect(filesOf('stowage-worker.service')).toEqual(['/etc/stowage/stowage.env', '-/etc/stowage/worker.env']);
  });

  it('let Stowage stop its processes itself, and give it the time', () => {
    for (const [, text] of units) {
      expect(valueOf(text, 'KillMode')).toBe('mixed');
      expect(Number(valueOf(text, 'TimeoutStopSec'))).toBeGreaterThan(STOP_SECONDS);
    }
  });
});
