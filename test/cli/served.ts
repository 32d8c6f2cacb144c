import { afterAll, beforeAll } from '@jest/globals';
import { settingsFor, TestApi } from '../harness/api.js';
import { Stowage } from './stowage.js';

/** A server, and the command line with its settings. */
export interface Served {
  api: TestApi;
  stowage: Stowage;
}

/**
 * Starts both before the tests of a spec, and stops them after these. The server runs no background work, which would change what tests
 * look at.
 * @param then called when they have started
 */
export function serveWithCommands(then: (served: Served) => void): void {
  let served: Served | undefined;
  beforeAll(async () => {
    const api = await TestApi.start({ WORKER: 'separate' });
    served = { api, stowage: await Stowage.create(settingsFor(api.db)) };
    then(served);
  });
  afterAll(async () => {
    await served?.stowage.remove();
    await served?.api.stop();
  });
}
