/**
 * sealing: encrypts and decrypts what is stored, after the list of encrypted keys of a project or the data key has changed.
 * Imports platform, database, audit, usage, encryption, jobs, inverted-index.
 */
export { SealingModule } from './sealing.module.js';
