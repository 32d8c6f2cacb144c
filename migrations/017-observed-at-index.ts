import type { MigrationInterface, QueryRunner } from 'typeorm';
import { createIndexConcurrently } from './concurrent-index.js';

/** Objects in the order of `observed_at`, for sorted lists. */
export class ObservedAtIndex1765600000000 implements MigrationInterface {
  name = 'ObservedAtIndex1765600000000';
  readonly phase = 'expand';
  readonly transaction = false;

  async up(runner: QueryRunner): Promise<void> {
    await createIndexConcurrently(runner, {
      name: 'objects_observed_idx',
      on: 'ON objects (project_id, observed_at, seq)',
    });
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`DROP INDEX objects_observed_idx`);
  }
}
