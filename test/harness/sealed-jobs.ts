import type { Database } from '#database';
import { EncryptedKeys, SealedJobs } from '#encryption';
import { Config } from '#platform';
import { Telemetry } from '#telemetry';

/** For stores of jobs in the process of a test: no project has encrypted keys. */
export function sealedJobs(database: Database): SealedJobs {
  return new SealedJobs(new EncryptedKeys(database, Telemetry.off(), new Config({})));
}
