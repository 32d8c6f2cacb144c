import type { MigrationInterface, QueryRunner } from 'typeorm';

/** The inverted index of objects' data; see docs/decisions/027. */
export class InvertedIndex1765500000000 implements MigrationInterface {
  name = 'InvertedIndex1765500000000';

  async up(runner: QueryRunner): Promise<void> {
    // Numbers of segments. A segment that was written later has a greater number.
    await runner.query(`CREATE SEQUENCE index_segment_numbers AS bigint`);
    await runner.query(`
      CREATE TABLE index_segments (
        project_id integer NOT NULL,
        number bigint NOT NULL,
        first_seq bigint NOT NULL,
        last_seq bigint NOT NULL,
        objects integer NOT NULL,
        weight integer NOT NULL,
        keys text[] COLLATE "C",
        seqs bytea NOT NULL,
        CONSTRAINT index_segments_pkey PRIMARY KEY (project_id, number)
      )`);
    await runner.query(`CREATE INDEX index_segments_seq_idx ON index_segments (project_id, last_seq)`);
    // `keys` are the keys of its objects; null where there are too many.
    // The last value of a block is a number, a text or neither.
    await runner.query(`
      CREATE TABLE index_blocks (
        project_id integer NOT NULL,
        segment bigint NOT NULL,
        path text COLLATE "C" NOT NULL,
        kind smallint NOT NULL,
        last_number numeric,
        last_text text COLLATE "C",
        value_count integer NOT NULL,
        posting_count integer NOT NULL,
        body bytea NOT NULL
      )`);
    // Compressing them takes longer than writing them.
    await runner.query(`ALTER TABLE index_blocks ALTER COLUMN body SET STORAGE EXTERNAL`);
    await runner.query(`
      CREATE INDEX index_blocks_idx ON index_blocks (project_id, segment, path, kind, last_number, last_text)`);
    await runner.query(`
      CREATE TABLE index_pending (
        project_id integer NOT NULL,
        seq bigint NOT NULL,
        is_wide boolean NOT NULL DEFAULT false,
        CONSTRAINT index_pending_pkey PRIMARY KEY (project_id, seq)
      )`);
    await runner.query(`
      CREATE TABLE index_outdated (
        project_id integer NOT NULL,
        seq bigint NOT NULL,
        before_segment bigint NOT NULL,
        CONSTRAINT index_outdated_pkey PRIMARY KEY (project_id, seq)
      )`);
    // The objects that were stored before this migration: of each project those below this sequence number are not indexed yet.
    await runner.query(`
      CREATE TABLE index_builds (
        project_id integer NOT NULL,
        below_seq bigint NOT NULL,
        CONSTRAINT index_builds_pkey PRIMARY KEY (project_id)
      )`);
    await runner.query(`SET LOCAL statement_timeout = 0`);
    await runner.query(`
      INSERT INTO index_builds (project_id, below_seq)
      SELECT p.project_id, newest.seq + 1 FROM projects AS p, LATERAL (
        SELECT seq FROM objects WHERE project_id = p.project_id ORDER BY seq DESC LIMIT 1) AS newest`);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`DROP TABLE index_builds, index_outdated, index_pending, index_blocks, index_segments`);
    await runner.query(`DROP SEQUENCE index_segment_numbers`);
  }
}
