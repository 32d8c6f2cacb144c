import type { MigrationInterface, QueryRunner } from 'typeorm';

/**
 * What a project stores, as sums that every write keeps exact, and the limits of a project. See docs/decisions/021.
 */
export class Usage1764800000000 implements MigrationInterface {
  name = 'Usage1764800000000';

  async up(runner: QueryRunner): Promise<void> {
    // The table is rewritten and then read, which takes longer than the limits of statements and locks.
    await runner.query(`SET LOCAL statement_timeout = 0`);
    await runner.query(`SET LOCAL lock_timeout = 0`);
    // Generated once, for the rows that exist: later writes send the number. An UPDATE of every row would leave the table and
    // its GIN index twice as large.
    await runner.query(`
      ALTER TABLE objects ADD COLUMN bytes integer NOT NULL GENERATED ALWAYS AS (octet_length(data::text)) STORED`);
    await runner.query(`ALTER TABLE objects ALTER COLUMN bytes DROP EXPRESSION`);
    // Several rows for each project, so that concurrent transactions seldom wait for each other. A share is the part of a limit
    // of the project that a row may use; null without a limit. Half of each page is free for new versions of its rows.
    await runner.query(`
      CREATE TABLE project_usage (
        project_id integer NOT NULL,
        shard smallint NOT NULL,
        objects bigint NOT NULL,
        bytes bigint NOT NULL,
        objects_share bigint,
        bytes_share bigint,
        CONSTRAINT project_usage_pkey PRIMARY KEY (project_id, shard),
        CONSTRAINT project_usage_objects_check CHECK (objects <= objects_share),
        CONSTRAINT project_usage_bytes_check CHECK (bytes <= bytes_share)
      ) WITH (fillfactor = 50)`);
    await runner.query(`
      INSERT INTO project_usage (project_id, shard, objects, bytes)
      SELECT project_id, 0, count(*), sum(bytes) FROM objects GROUP BY project_id`);
    await runner.query(`
      CREATE TABLE project_requests (
        project_id integer NOT NULL,
        requests bigint NOT NULL,
        CONSTRAINT project_requests_pkey PRIMARY KEY (project_id)
      ) WITH (fillfactor = 50)`);
    await runner.query(`ALTER TABLE projects ADD COLUMN objects_max bigint, ADD COLUMN bytes_max bigint`);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`ALTER TABLE projects DROP COLUMN objects_max, DROP COLUMN bytes_max`);
    await runner.query(`DROP TABLE project_usage, project_requests`);
    await runner.query(`ALTER TABLE objects DROP COLUMN bytes`);
  }
}
