/**
 * encryption: encrypts the values of the keys that a project lists, before they are stored.
 * Imports json, platform, database.
 */
export { DataKey } from './data-key.js';
export { EncryptedKeys, LIST_APPLIES_AFTER_MS } from './encrypted-keys.js';
export { EncryptionModule } from './encryption.module.js';
export { SEALED_PREFIX } from './sealed-value.js';
