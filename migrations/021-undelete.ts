import type { MigrationInterface, QueryRunner } from 'typeorm';

/** What was deleted and can be restored for UNDELETE_HOURS. See docs/decisions/038. */
export class Undelete1766000000000 implements MigrationInterface {
  name = 'Undelete1766000000000';
  readonly phase = 'expand';

  async up(runner: QueryRunner): Promise<void> {
    // `deletion_id` is a sequence number: it contains the time of the deletion. `batch_seq` is that of a deleted batch; null where
    // only objects were deleted. `object_id` is that of a single object.
    await runner.query(`
      CREATE TABLE deletions (
        project_id integer NOT NULL,
        deletion_id bigint NOT NULL,
        batch_id text COLLATE "C",
        batch_seq bigint,
        object_id text COLLATE "C",
        object_count bigint NOT NULL,
        CONSTRAINT deletions_pkey PRIMARY KEY (project_id, deletion_id)
      )`);
    await runner.query(`
      CREATE INDEX deletions_batch_idx ON deletions (project_id, batch_id, deletion_id) WHERE batch_id IS NOT NULL`);
    // For maintenance of all projects: the oldest ones.
    await runner.query(`CREATE INDEX deletions_age_idx ON deletions (deletion_id)`);
    await runner.query(`
      CREATE TABLE deleted_objects (
        project_id integer NOT NULL,
        deletion_id bigint NOT NULL,
        batch_id text COLLATE "C" NOT NULL,
        object_id text COLLATE "C" NOT NULL,
        seq bigint NOT NULL,
        subject text COLLATE "C",
        observed_at timestamptz NOT NULL,
        data jsonb NOT NULL,
        bytes integer NOT NULL,
        CONSTRAINT deleted_objects_pkey PRIMARY KEY (project_id, deletion_id, seq)
      )`);
    await runner.query(`
      CREATE INDEX deleted_objects_object_idx ON deleted_objects (project_id, object_id, deletion_id)`);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`DROP TABLE deleted_objects, deletions`);
  }
}
