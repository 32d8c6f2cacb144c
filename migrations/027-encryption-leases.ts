import type { MigrationInterface, QueryRunner } from 'typeorm';

/** Which process encrypts and decrypts the stored values of a project. See docs/decisions/044. */
export class EncryptionLeases1766600000000 implements MigrationInterface {
  name = 'EncryptionLeases1766600000000';
  readonly phase = 'expand';
  readonly transaction = false;

  async up(runner: QueryRunner): Promise<void> {
    // `encryption_holder` is null where no process has the project. `encryption_leased_until` is when others may take it, or since when it
    // is free; null where no process has had it since the stored values were last encrypted.
    await runner.query(`
      ALTER TABLE projects
        ADD COLUMN IF NOT EXISTS encryption_holder uuid,
        ADD COLUMN IF NOT EXISTS encryption_leased_until timestamptz`);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`ALTER TABLE projects DROP COLUMN encryption_holder, DROP COLUMN encryption_leased_until`);
  }
}
