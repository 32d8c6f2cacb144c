import { FirstTables1764000000000 } from './001-first-tables.js';
import { Writes1764100000000 } from './002-writes.js';
import { Devices1764200000000 } from './003-devices.js';
import { Rollups1764300000000 } from './004-rollups.js';
import { RewrittenBatches1764400000000 } from './005-rewritten-batches.js';
import { FirstKeys1764500000000 } from './006-first-keys.js';
import { SequenceLanes1764600000000 } from './007-sequence-lanes.js';
import { Audit1764700000000 } from './008-audit.js';
import { Usage1764800000000 } from './009-usage.js';
import { RateLimitCounts1764900000000 } from './010-rate-limit-counts.js';
import { CanaryKeys1765000000000 } from './011-canary-keys.js';
import { KeySecretIds1765100000000 } from './012-key-secret-ids.js';
import { AuditIndexes1765200000000 } from './013-audit-indexes.js';
import { DeletedProjects1765300000000 } from './014-deleted-projects.js';
import { DefaultProject1765400000000 } from './015-default-project.js';
import { InvertedIndex1765500000000 } from './016-inverted-index.js';
import { ObservedAtIndex1765600000000 } from './017-observed-at-index.js';
import { Changes1765700000000 } from './018-changes.js';
import { Webhooks1765800000000 } from './019-webhooks.js';
import { Retention1765900000000 } from './020-retention.js';
import { Undelete1766000000000 } from './021-undelete.js';
import { EncryptedKeys1766100000000 } from './022-encrypted-keys.js';
import { CompatibilityAndQueuedJobs1766200000000 } from './023-compatibility-and-queued-jobs.js';
import { UndeleteBounds1766300000000 } from './024-undelete-bounds.js';
import { WebhookDeliveries1766400000000 } from './025-webhook-deliveries.js';
import { RemovedEncryptedKeys1766500000000 } from './026-removed-encrypted-keys.js';
import { EncryptionLeases1766600000000 } from './027-encryption-leases.js';
import type { NamedMigration, SchemaMigration } from './schema-migration.js';

export { MIGRATION_LOCK_TIMEOUT } from './concurrent-index.js';
export type { SchemaMigration } from './schema-migration.js';

/** Servers that do not know all of these cannot run beside those that do. */
const FIRST_MIGRATIONS = [
  FirstTables1764000000000,
  Writes1764100000000,
  Devices1764200000000,
  Rollups1764300000000,
  RewrittenBatches1764400000000,
  FirstKeys1764500000000,
  SequenceLanes1764600000000,
  Audit1764700000000,
  Usage1764800000000,
  RateLimitCounts1764900000000,
  CanaryKeys1765000000000,
  KeySecretIds1765100000000,
  AuditIndexes1765200000000,
  DeletedProjects1765300000000,
  DefaultProject1765400000000,
  InvertedIndex1765500000000,
];

/** Servers of the version before each of these run beside those of the version after it; see CONTRIBUTING.md. */
const PHASED_MIGRATIONS: readonly (new () => SchemaMigration)[] = [
  ObservedAtIndex1765600000000,
  Changes1765700000000,
  Webhooks1765800000000,
  Retention1765900000000,
  Undelete1766000000000,
  EncryptedKeys1766100000000,
  CompatibilityAndQueuedJobs1766200000000,
  UndeleteBounds1766300000000,
  WebhookDeliveries1766400000000,
  RemovedEncryptedKeys1766500000000,
  EncryptionLeases1766600000000,
];

/** Every migration, oldest first. Append only: the result of a migration that may have run is never changed. */
export const MIGRATIONS: (new () => NamedMigration)[] = [...FIRST_MIGRATIONS, ...PHASED_MIGRATIONS];
