/**
 * encryption: encrypts the values of the keys that a project lists, before they are stored.
 * Imports json, platform, telemetry, database.
 */
export { ClearTextKeys, type KeyUse } from './clear-text-keys.js';
export { DataKey, dataKeysOf } from './data-key.js';
export { findMissingKeys, KEY_UNUSED_AFTER_S } from './data-key-use.js';
export { EncryptedKeys, LIST_APPLIES_AFTER_MS } from './encrypted-keys.js';
export { EncryptionModule } from './encryption.module.js';
export { beganBeforeSql, LIST_APPLIES_AT } from './older-transactions.js';
export { dataKeyIdOfBodyPart, openBodyPart, sealBodyPart, SEALED_HEAD_BYTES } from './sealed-body-part.js';
export { resultPlace, SealedJobs } from './sealed-jobs.js';
export { openValue, SEALED_PREFIX, sealValue } from './sealed-value.js';
