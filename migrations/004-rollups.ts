import type { MigrationInterface, QueryRunner } from 'typeorm';

/** An object's numbers under one key, as a list. */
const NUMBERS = `jsonb_path_query_array(data, '$[*] ? (@.key == "temperature" && @.value.type() == "number").value')`;

/**
 * Fast averages over long times: the averaged number as a column of an index, and sums by hour. See docs/decisions/013.
 */
export class Rollups1764300000000 implements MigrationInterface {
  name = 'Rollups1764300000000';

  async up(runner: QueryRunner): Promise<void> {
    // The table is rewritten, which takes longer than the limits of statements and locks.
    await runner.query(`SET LOCAL statement_timeout = 0`);
    await runner.query(`SET LOCAL lock_timeout = 0`);
    // NaN, which JSON does not have, marks objects with several such numbers or with more digits than an index can hold; a
    // reader then reads `data`. The containment comes first because it is cheap, and most objects do not have the key.
    await runner.query(`
      ALTER TABLE objects ADD COLUMN measure numeric GENERATED ALWAYS AS (
        CASE WHEN data @> '[{"key": "temperature"}]' THEN
          CASE jsonb_array_length(${NUMBERS})
            WHEN 0 THEN NULL
            WHEN 1 THEN CASE
              WHEN length(${NUMBERS} ->> 0) <= 40 THEN (${NUMBERS} -> 0)::numeric
              ELSE 'NaN'::numeric
            END
            ELSE 'NaN'::numeric
          END
        END
      ) STORED`);
    await runner.query(`DROP INDEX objects_subject_idx`);
    await runner.query(`
      CREATE INDEX objects_subject_idx ON objects (project_id, subject, observed_at, seq) INCLUDE (measure)
      WHERE subject IS NOT NULL`);
    await runner.query(`
      CREATE TABLE rollups (
        project_id integer NOT NULL,
        subject text COLLATE "C" NOT NULL,
        hour timestamptz NOT NULL,
        count bigint NOT NULL,
        sum numeric NOT NULL,
        min numeric NOT NULL,
        max numeric NOT NULL,
        CONSTRAINT rollups_pkey PRIMARY KEY (project_id, subject, hour)
      )`);
    // Rows are inserted and never updated, so that concurrent writers do not wait for each other.
    await runner.query(`
      CREATE TABLE rollup_marks (
        project_id integer NOT NULL,
        subject text COLLATE "C" NOT NULL,
        hour timestamptz NOT NULL,
        marked_at timestamptz NOT NULL
      )`);
    await runner.query(`CREATE INDEX rollup_marks_idx ON rollup_marks (project_id, subject, hour)`);
    await runner.query(`CREATE INDEX rollup_marks_age_idx ON rollup_marks (marked_at)`);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`DROP TABLE rollup_marks, rollups`);
    await runner.query(`DROP INDEX objects_subject_idx`);
    await runner.query(`ALTER TABLE objects DROP COLUMN measure`);
    await runner.query(`
      CREATE INDEX objects_subject_idx ON objects (project_id, subject, observed_at) WHERE subject IS NOT NULL`);
  }
}
