import type { MigrationInterface, QueryRunner } from 'typeorm';
import { createIndexConcurrently } from './concurrent-index.js';

/** The keys of a project whose values are encrypted. See docs/decisions/044. */
export class EncryptedKeys1766100000000 implements MigrationInterface {
  name = 'EncryptedKeys1766100000000';
  readonly phase = 'expand';
  readonly transaction = false;

  async up(runner: QueryRunner): Promise<void> {
    // `encrypted_keys` is null for none. `encryption_key_id` is that of the data key of all sealed values that are not newer than the
    // last rotation; null where nothing is sealed. `encryption_cursor` is the sequence number after which stored objects have to be
    // checked; null for nothing to do. `encryption_changed_at` is when they last had to be checked from the first one on.
    await runner.query(`
      ALTER TABLE projects
        ADD COLUMN IF NOT EXISTS encrypted_keys text[],
        ADD COLUMN IF NOT EXISTS encryption_key_id text,
        ADD COLUMN IF NOT EXISTS encryption_cursor bigint,
        ADD COLUMN IF NOT EXISTS encryption_changed_at timestamptz`);
    // The data keys with which values may be encrypted, and when a process had each one as STOWAGE_DATA_KEY, to half a minute.
    await runner.query(`
      CREATE TABLE IF NOT EXISTS data_keys (
        key_id text COLLATE "C" NOT NULL,
        used_at timestamptz NOT NULL,
        CONSTRAINT data_keys_pkey PRIMARY KEY (key_id))`);
    await createIndexConcurrently(runner, {
      name: 'projects_encryption_idx',
      on: 'ON projects (project_id) WHERE encryption_key_id IS NOT NULL',
    });
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`DROP TABLE data_keys`);
    await runner.query(`DROP INDEX projects_encryption_idx`);
    await runner.query(`
      ALTER TABLE projects DROP COLUMN encrypted_keys, DROP COLUMN encryption_key_id, DROP COLUMN encryption_cursor,
        DROP COLUMN encryption_changed_at`);
  }
}
