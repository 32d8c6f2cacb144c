/**
 * backup: writes all tables of an installation to one file, and restores such a file.
 * Imports platform, database and the migrations.
 */
export { writeBackup } from './backup-writer.js';
export { BackupReader } from './backup-reader.js';
export { NO_PROGRESS } from './backup-format.js';
export { migrationsOf, restoreBackup } from './restore.js';
