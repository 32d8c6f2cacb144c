import type { MigrationInterface, QueryRunner } from 'typeorm';

/** Canary keys: a request with one is rejected like one with an unknown key, and raises an alert. */
export class CanaryKeys1765000000000 implements MigrationInterface {
  name = 'CanaryKeys1765000000000';

  async up(runner: QueryRunner): Promise<void> {
    // With a constant default no row is rewritten.
    await runner.query(`ALTER TABLE api_keys ADD COLUMN canary boolean NOT NULL DEFAULT false`);
    // An operator key that works for nobody would count as the last one that works.
    await runner.query(`
      ALTER TABLE api_keys ADD CONSTRAINT api_keys_canary_check CHECK (NOT canary OR project_id IS NOT NULL)`);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`ALTER TABLE api_keys DROP COLUMN canary`);
  }
}
