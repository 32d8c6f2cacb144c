/**
 * reencryption: encrypts and decrypts what is stored, after the list of encrypted keys of a project or the data key has changed.
 * Imports platform, database, audit, usage, encryption, jobs, inverted-index.
 */
export { ReencryptionModule } from './reencryption.module.js';
