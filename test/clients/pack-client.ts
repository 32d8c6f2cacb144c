import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, rm, symlink } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import type * as Client from '../../clients/typescript/src/index.js';

const run = promisify(execFile);

/** The packed client, unpacked as `npm install` would do it, without a network. */
export interface PackedClient {
  client: typeof Client;
  /** The files of the package. */
  files: string[];
  /** A folder whose programs can import the package by its name. */
  folder: string;
  remove: () => Promise<void>;
}

export async function packClient(): Promise<PackedClient> {
  const folder = await mkdtemp(join(tmpdir(), 'stowage-client-'));
  const remove = (): Promise<void> => rm(folder, { recursive: true });
  try {
    const { stdout } = await run('npm', ['pack', '--json', '--pack-destination', folder], {
      cwd: 'clients/typescript',
    });
    const [pack] = JSON.parse(stdout.slice(stdout.indexOf('['))) as { filename: string; files: { path: string }[] }[];
    if (pack === undefined) throw new Error(`npm pack created no package: ${stdout}`);
    const unpacked = join(folder, 'node_modules/@stowage/client');
    await mkdir(unpacked, { recursive: true });
    await run('tar', ['-xzf', join(folder, pack.filename), '-C', unpacked, '--strip-components=1']);
    for (const name of ['openapi-fetch', 'openapi-typescript-helpers']) {
      await symlink(installed(name), join(folder, 'node_modules', name));
    }
    const client = (await import(join(unpacked, 'dist/index.js'))) as typeof Client;
    return { client, files: pack.files.map(({ path }) => path), folder, remove };
  } catch (error) {
    await remove();
    throw error;
  }
}

/** The folder of an installed package. */
function installed(name: string): string {
  return dirname(createRequire(import.meta.url).resolve(`${name}/package.json`));
}
