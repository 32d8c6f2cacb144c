import type { MigrationInterface, QueryRunner } from 'typeorm';

/** Objects in the order of `observed_at`, for sorted lists. */
export class ObservedAtIndex1765600000000 implements MigrationInterface {
  name = 'ObservedAtIndex1765600000000';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`CREATE INDEX objects_observed_idx ON objects (project_id, observed_at, seq)`);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`DROP INDEX objects_observed_idx`);
  }
}
