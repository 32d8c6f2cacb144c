import type { MigrationInterface, QueryRunner } from 'typeorm';

/**
 * Projects, keys, batches and objects. `project_id` is in every key and every index, so that a tenant's queries touch
 * only the tenant's entries, and the tables can be distributed by it.
 */
export class FirstTables1764000000000 implements MigrationInterface {
  name = 'FirstTables1764000000000';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`CREATE EXTENSION IF NOT EXISTS btree_gin`);
    await runner.query(`
      CREATE TABLE projects (
        project_id integer NOT NULL,
        seq bigint NOT NULL,
        name text COLLATE "C" NOT NULL,
        seeded_at timestamptz,
        CONSTRAINT projects_pkey PRIMARY KEY (project_id),
        CONSTRAINT projects_name_key UNIQUE (name)
      )`);
    await runner.query(`
      CREATE TABLE api_keys (
        key_id bigint NOT NULL,
        project_id integer,
        role text NOT NULL,
        name text NOT NULL,
        prefix text NOT NULL,
        hash bytea NOT NULL,
        device_id text COLLATE "C",
        expires_at timestamptz,
        revoked_at timestamptz,
        last_used_at timestamptz,
        CONSTRAINT api_keys_pkey PRIMARY KEY (key_id),
        CONSTRAINT api_keys_hash_key UNIQUE (hash),
        CONSTRAINT api_keys_project_fkey FOREIGN KEY (project_id) REFERENCES projects (project_id),
        CONSTRAINT api_keys_role_check CHECK (role IN ('operator', 'admin', 'producer', 'analyst', 'device')),
        CONSTRAINT api_keys_project_check CHECK ((role = 'operator') = (project_id IS NULL)),
        CONSTRAINT api_keys_device_check CHECK ((role = 'device') = (device_id IS NOT NULL))
      )`);
    await runner.query(`CREATE INDEX projects_seq_idx ON projects (seq)`);
    await runner.query(`CREATE INDEX api_keys_project_idx ON api_keys (project_id, key_id)`);
    // Ids compare byte for byte: COLLATE "C" whatever the database's own collation is.
    await runner.query(`
      CREATE TABLE batches (
        project_id integer NOT NULL,
        batch_id text COLLATE "C" NOT NULL,
        seq bigint NOT NULL,
        object_count bigint NOT NULL,
        revision bigint NOT NULL,
        CONSTRAINT batches_pkey PRIMARY KEY (project_id, batch_id)
      )`);
    await runner.query(`CREATE INDEX batches_seq_idx ON batches (project_id, seq)`);
    // No foreign key to batches: every writer locks the batch's row, and the check costs one query for each row.
    await runner.query(`
      CREATE TABLE objects (
        project_id integer NOT NULL,
        batch_id text COLLATE "C" NOT NULL,
        object_id text COLLATE "C" NOT NULL,
        seq bigint NOT NULL,
        subject text COLLATE "C",
        observed_at timestamptz NOT NULL,
        data jsonb NOT NULL,
        CONSTRAINT objects_pkey PRIMARY KEY (project_id, batch_id, seq),
        CONSTRAINT objects_object_id_key UNIQUE (project_id, object_id)
      )`);
    await runner.query(`CREATE INDEX objects_seq_idx ON objects (project_id, seq)`);
    await runner.query(`
      CREATE INDEX objects_subject_idx ON objects (project_id, subject, observed_at) WHERE subject IS NOT NULL`);
    await runner.query(`CREATE INDEX objects_data_idx ON objects USING gin (project_id, data jsonb_path_ops)`);
    // Gives each process that starts a lane of sequence numbers; replaced by leases in migration 007.
    await runner.query(`CREATE SEQUENCE lanes AS integer MINVALUE 0 MAXVALUE 1023 START 0 CYCLE`);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`DROP SEQUENCE lanes`);
    await runner.query(`DROP TABLE objects, batches, api_keys, projects`);
  }
}
