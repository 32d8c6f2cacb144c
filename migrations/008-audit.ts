import type { MigrationInterface, QueryRunner } from 'typeorm';

/** The audit log: entries, and the head of each chain of them. The product only adds entries; see docs/audit.md. */
export class Audit1764700000000 implements MigrationInterface {
  name = 'Audit1764700000000';

  async up(runner: QueryRunner): Promise<void> {
    // project_id is 0 for the installation. No foreign key: an entry outlives the project, key or object that it is about.
    await runner.query(`
      CREATE TABLE audit_entries (
        project_id integer NOT NULL,
        number bigint NOT NULL,
        at timestamptz NOT NULL,
        actor_key_id bigint,
        actor_role text,
        actor_name text NOT NULL,
        action text NOT NULL,
        target_type text,
        target_id text COLLATE "C",
        details text NOT NULL,
        request_id text,
        address text,
        hash bytea NOT NULL,
        CONSTRAINT audit_entries_pkey PRIMARY KEY (project_id, number)
      )`);
    await runner.query(`CREATE INDEX audit_entries_at_idx ON audit_entries (project_id, at)`);
    await runner.query(`
      CREATE INDEX audit_entries_target_idx ON audit_entries (project_id, target_id, number) WHERE target_id IS NOT NULL`);
    // The number, hash and time of the last entry. Its row is the lock under which entries are appended.
    await runner.query(`
      CREATE TABLE audit_chains (
        project_id integer NOT NULL,
        entries bigint NOT NULL,
        hash bytea NOT NULL,
        at timestamptz NOT NULL,
        CONSTRAINT audit_chains_pkey PRIMARY KEY (project_id)
      )`);
    await runner.query(`
      INSERT INTO audit_chains (project_id, entries, hash, at)
      SELECT project_id, 0, ''::bytea, '-infinity'::timestamptz FROM projects
      UNION ALL SELECT 0, 0, ''::bytea, '-infinity'`);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`DROP TABLE audit_entries, audit_chains`);
  }
}
