import type { MigrationInterface, QueryRunner } from 'typeorm';
import { createIndexConcurrently } from './concurrent-index.js';

/**
 * Which servers can work after each migration, so that a server can decide it of migrations that it does not know; see
 * docs/decisions/041. An index of the queued jobs of all projects, which are few.
 */
export class CompatibilityAndQueuedJobs1766200000000 implements MigrationInterface {
  name = 'CompatibilityAndQueuedJobs1766200000000';
  readonly phase = 'expand';
  readonly transaction = false;

  async up(runner: QueryRunner): Promise<void> {
    // `compatible_since` is the oldest migration that a server must know; null where earlier servers can work, too.
    await runner.query(`
      CREATE TABLE IF NOT EXISTS schema_compatibility (
        migration text NOT NULL,
        compatible_since text,
        CONSTRAINT schema_compatibility_pkey PRIMARY KEY (migration)
      )`);
    await createIndexConcurrently(runner, {
      name: 'jobs_queued_idx',
      on: `ON jobs (project_id, job_id) WHERE status = 'queued'`,
    });
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`DROP INDEX jobs_queued_idx`);
    await runner.query(`DROP TABLE schema_compatibility`);
  }
}
