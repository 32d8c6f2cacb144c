import type { MigrationInterface, QueryRunner } from 'typeorm';

/**
 * Tells a batch that only grew from one whose objects were changed or taken away: who reads the first to the end that it had
 * has read one state of it.
 */
export class RewrittenBatches1764400000000 implements MigrationInterface {
  name = 'RewrittenBatches1764400000000';

  async up(runner: QueryRunner): Promise<void> {
    // The revision of the last such change; 0 for none. A constant default, so no row is written.
    await runner.query(`ALTER TABLE batches ADD COLUMN rewritten bigint NOT NULL DEFAULT 0`);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`ALTER TABLE batches DROP COLUMN rewritten`);
  }
}
