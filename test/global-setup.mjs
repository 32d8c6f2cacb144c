import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openTestServer } from './harness/server.mjs';

/** One throw-away PostgreSQL for the whole run, with a template database that holds the migrations' result. */
export default async function setup() {
  const folder = await mkdtemp(join(tmpdir(), 'stowage-test-'));
  globalThis.stowageTestServer = await openTestServer(folder);
  process.env.STOWAGE_TEST_SERVER = JSON.stringify(globalThis.stowageTestServer.address);
}
