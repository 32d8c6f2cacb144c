import type { MigrationInterface, QueryRunner } from 'typeorm';

/** The projects that were deleted, and no usage without a project. See docs/decisions/024. */
export class DeletedProjects1765300000000 implements MigrationInterface {
  name = 'DeletedProjects1765300000000';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      CREATE TABLE deleted_projects (
        project_id integer NOT NULL,
        deleted_at timestamptz NOT NULL,
        finished_at timestamptz,
        counts jsonb NOT NULL,
        CONSTRAINT deleted_projects_pkey PRIMARY KEY (project_id)
      )`);
    // For maintenance, which deletes late rows of the last projects.
    await runner.query(`CREATE INDEX deleted_projects_finished_idx ON deleted_projects (finished_at)`);
    // Every write that adds or deletes objects changes the usage of its project in the same transaction. PostgreSQL checks the
    // reference when a row is inserted, not when it changes, so a write costs no more while the project exists.
    await runner.query(
      `DELETE FROM project_usage AS u WHERE NOT EXISTS (SELECT FROM projects WHERE project_id = u.project_id)`,
    );
    await runner.query(`
      ALTER TABLE project_usage ADD CONSTRAINT project_usage_project_fkey
      FOREIGN KEY (project_id) REFERENCES projects (project_id)`);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`ALTER TABLE project_usage DROP CONSTRAINT project_usage_project_fkey`);
    await runner.query(`DROP TABLE deleted_projects`);
  }
}
