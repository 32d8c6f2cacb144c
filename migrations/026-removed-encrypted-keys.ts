import type { MigrationInterface, QueryRunner } from 'typeorm';

/** The keys that were encrypted, and whose values are still to be decrypted. See docs/decisions/044. */
export class RemovedEncryptedKeys1766500000000 implements MigrationInterface {
  name = 'RemovedEncryptedKeys1766500000000';
  readonly phase = 'expand';
  readonly transaction = false;

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`ALTER TABLE projects ADD COLUMN IF NOT EXISTS encryption_removed_keys text[]`);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`ALTER TABLE projects DROP COLUMN encryption_removed_keys`);
  }
}
