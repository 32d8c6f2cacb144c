import type { MigrationInterface, QueryRunner } from 'typeorm';

/**
 * Leases of the lanes of sequence numbers; see libs/database/src/lane-lease.ts. They replace the database sequence `lanes`,
 * which gave a lane to a second process after 1,024 starts. A server of an earlier version keeps its lane without a lease, so
 * it must be stopped before this migration runs.
 */
export class SequenceLanes1764600000000 implements MigrationInterface {
  name = 'SequenceLanes1764600000000';

  async up(runner: QueryRunner): Promise<void> {
    // A tick is a sequence number without its lane: 41 bits of milliseconds since 2024, 12 of a counter. No number of the lane
    // with a tick beyond last_tick was ever drawn.
    await runner.query(`
      CREATE TABLE sequence_lanes (
        lane integer NOT NULL,
        holder uuid,
        leased_until timestamptz NOT NULL,
        last_tick bigint NOT NULL,
        CONSTRAINT sequence_lanes_pkey PRIMARY KEY (lane)
      )`);
    // max(seq) reads every object.
    await runner.query(`SET LOCAL statement_timeout = 0`);
    // Numbers may be ahead of this server's time: another clock drew them, and many at once run ahead of it.
    await runner.query(`
      INSERT INTO sequence_lanes (lane, holder, leased_until, last_tick)
      SELECT lane, NULL, now(), greatest(
        floor(extract(epoch FROM now() - timestamptz '2024-01-01T00:00:00Z') * 1000)::bigint * 4096,
        (SELECT max(greatest(seq, revision)) >> 10 FROM batches), (SELECT max(seq) >> 10 FROM objects), (SELECT max(job_id) >> 10 FROM jobs))
      FROM generate_series(0, 1023) AS lane`);
    await runner.query(`DROP SEQUENCE lanes`);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`CREATE SEQUENCE lanes AS integer MINVALUE 0 MAXVALUE 1023 START 0 CYCLE`);
    await runner.query(`DROP TABLE sequence_lanes`);
  }
}
