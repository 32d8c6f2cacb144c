import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startTestRun } from './harness/test-run.mjs';

/** Starts the processes that the specs share, and passes their addresses to the specs in the environment. */
export default async function setup() {
  const folder = await mkdtemp(join(tmpdir(), 'stowage-test-'));
  // As in an installation, so that the database started by root runs as the user that it usually runs as.
  await chmod(folder, 0o755);
  try {
    globalThis.stowageTestRun = await startTestRun(folder);
  } catch (error) {
    await rm(folder, { recursive: true, force: true });
    throw error;
  }
  process.env.STOWAGE_TEST_RUN = JSON.stringify(globalThis.stowageTestRun.facts);
}
