import type { MigrationInterface, QueryRunner } from 'typeorm';

/**
 * Which key secret the hash of a key was computed with, so that it is known when a previous secret can be removed. null for a
 * key that has not been used since this migration.
 */
export class KeySecretIds1765100000000 implements MigrationInterface {
  name = 'KeySecretIds1765100000000';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`ALTER TABLE api_keys ADD COLUMN secret_id text`);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`ALTER TABLE api_keys DROP COLUMN secret_id`);
  }
}
