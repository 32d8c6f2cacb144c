import type { MigrationInterface, QueryRunner } from 'typeorm';

/** Where server processes combine the counts of their rate limits; see libs/limits/src/postgres-count-store.ts. */
export class RateLimitCounts1764900000000 implements MigrationInterface {
  name = 'RateLimitCounts1764900000000';

  async up(runner: QueryRunner): Promise<void> {
    // The columns of rate-limiter-flexible, in its order. Unlogged: a crash may forget the counts of a minute. expire is in
    // milliseconds since 1970.
    await runner.query(`
      CREATE UNLOGGED TABLE rate_limit_counts (
        key text COLLATE "C" NOT NULL,
        points bigint NOT NULL,
        expire bigint NOT NULL,
        CONSTRAINT rate_limit_counts_pkey PRIMARY KEY (key)
      )`);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`DROP TABLE rate_limit_counts`);
  }
}
