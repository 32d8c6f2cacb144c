import type { MigrationInterface, QueryRunner } from 'typeorm';

/** How long a project keeps its objects. See libs/retention. */
export class Retention1765900000000 implements MigrationInterface {
  name = 'Retention1765900000000';
  readonly phase = 'expand';

  async up(runner: QueryRunner): Promise<void> {
    // null: for ever.
    await runner.query(`ALTER TABLE projects ADD COLUMN retention_days integer`);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`ALTER TABLE projects DROP COLUMN retention_days`);
  }
}
