import type { MigrationInterface, QueryRunner } from 'typeorm';

/**
 * Distinguishes a batch that only grew from one whose objects were changed or deleted. A reader that ends at the last object
 * that the batch had when it began has read one state of the batch, if the batch only grew.
 */
export class RewrittenBatches1764400000000 implements MigrationInterface {
  name = 'RewrittenBatches1764400000000';

  async up(runner: QueryRunner): Promise<void> {
    // The revision of the last change that was more than adding objects; 0 for none. With a constant default no row is rewritten.
    await runner.query(`ALTER TABLE batches ADD COLUMN rewritten bigint NOT NULL DEFAULT 0`);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`ALTER TABLE batches DROP COLUMN rewritten`);
  }
}
