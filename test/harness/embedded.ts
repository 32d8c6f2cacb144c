import { readFile, realpath } from 'node:fs/promises';
import { join } from 'node:path';
import type { PostgresAddress } from '#database';

/** Returns the address of the embedded database that runs in a data directory, with the password of the role. */
export async function addressOfEmbedded(
  dataDir: string,
  user: 'postgres' | 'stowage' = 'stowage',
): Promise<PostgresAddress> {
  const [, , , port = '', host = ''] = (await readFile(join(dataDir, 'postmaster.pid'), 'utf8')).split('\n');
  return { host, port: Number(port), user, password: await passwordOf(dataDir, user), database: 'stowage' };
}

async function passwordOf(dataDir: string, user: string): Promise<string> {
  const [, password = ''] =
    new RegExp(`:${user}:(.+)`).exec(await readFile(`${await realpath(dataDir)}.pgpass`, 'utf8')) ?? [];
  return password;
}
