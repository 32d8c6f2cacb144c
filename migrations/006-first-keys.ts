import type { MigrationInterface, QueryRunner } from 'typeorm';

/**
 * The keys of the first start are printed at every start until one of them is used. The database holds no key: each is
 * derived from this nonce and the key secret. The nonce is removed when one of the keys is used.
 */
export class FirstKeys1764500000000 implements MigrationInterface {
  name = 'FirstKeys1764500000000';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`ALTER TABLE api_keys ADD COLUMN nonce bytea`);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`ALTER TABLE api_keys DROP COLUMN nonce`);
  }
}
