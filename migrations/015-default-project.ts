import type { MigrationInterface, QueryRunner } from 'typeorm';

/** The project of the first start, so that it can be renamed. */
export class DefaultProject1765400000000 implements MigrationInterface {
  name = 'DefaultProject1765400000000';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`ALTER TABLE projects ADD COLUMN is_default boolean NOT NULL DEFAULT false`);
    await runner.query(`CREATE UNIQUE INDEX projects_is_default_idx ON projects (is_default) WHERE is_default = true`);
    await runner.query(`UPDATE projects SET is_default = true WHERE name = 'default'`);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`ALTER TABLE projects DROP COLUMN is_default`);
  }
}
