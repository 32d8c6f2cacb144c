import type { MigrationInterface, QueryRunner } from 'typeorm';
import { createIndexConcurrently } from './concurrent-index.js';

/** What bounds deleted rows, and what they can be restored into. See docs/decisions/038. */
export class UndeleteBounds1766300000000 implements MigrationInterface {
  name = 'UndeleteBounds1766300000000';
  readonly phase = 'expand';
  readonly transaction = false;

  async up(runner: QueryRunner): Promise<void> {
    // The space that the deleted objects of a project take, which can be restored.
    await runner.query(`
      ALTER TABLE project_usage ADD COLUMN IF NOT EXISTS deleted_bytes bigint NOT NULL DEFAULT 0`);
    // The revision of the last time that all objects of a batch were replaced; null where they never were.
    await runner.query(`ALTER TABLE batches ADD COLUMN IF NOT EXISTS replaced_seq bigint`);
    // `is_counted` is null for deletions by servers of an earlier version, whose objects are not in `deleted_bytes`.
    await runner.query(`ALTER TABLE deletions ADD COLUMN IF NOT EXISTS is_counted boolean`);
    await runner.query(`ALTER TABLE deletions ADD COLUMN IF NOT EXISTS batch_replaced_seq bigint`);
    // For the retention: the oldest ones of a project.
    await createIndexConcurrently(runner, {
      name: 'deleted_objects_observed_idx',
      on: 'ON deleted_objects (project_id, observed_at)',
    });
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`DROP INDEX deleted_objects_observed_idx`);
    await runner.query(`ALTER TABLE deletions DROP COLUMN batch_replaced_seq, DROP COLUMN is_counted`);
    await runner.query(`ALTER TABLE batches DROP COLUMN replaced_seq`);
    await runner.query(`ALTER TABLE project_usage DROP COLUMN deleted_bytes`);
  }
}
