import type { MigrationInterface, QueryRunner } from 'typeorm';

/**
 * Indexes for the entries of one key and of one action: without them a filter that few entries match reads the whole chain. Free
 * space in the pages of `audit_chains`, so that the update of a head, which every append does, never adds a row to its index.
 */
export class AuditIndexes1765200000000 implements MigrationInterface {
  name = 'AuditIndexes1765200000000';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      CREATE INDEX audit_entries_actor_idx ON audit_entries (project_id, actor_key_id, number)
      WHERE actor_key_id IS NOT NULL`);
    await runner.query(`CREATE INDEX audit_entries_action_idx ON audit_entries (project_id, action, number)`);
    // Rows that exist move to pages with free space when they are next updated.
    await runner.query(`ALTER TABLE audit_chains SET (fillfactor = 50)`);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`DROP INDEX audit_entries_actor_idx, audit_entries_action_idx`);
    await runner.query(`ALTER TABLE audit_chains RESET (fillfactor)`);
  }
}
