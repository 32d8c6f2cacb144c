import type { MigrationInterface, QueryRunner } from 'typeorm';

/** Webhooks of projects, and what was sent to them; see docs/decisions/040. */
export class Webhooks1765800000000 implements MigrationInterface {
  name = 'Webhooks1765800000000';
  readonly phase = 'expand';

  async up(runner: QueryRunner): Promise<void> {
    // change_position is the place in the changes of the project up to which stored batches were sent; null where they are not wanted.
    // fired_bucket is the start of the last bucket, in seconds since 1970, that reached the threshold.
    await runner.query(`
      CREATE TABLE webhooks (
        project_id integer NOT NULL,
        webhook_id bigint NOT NULL,
        name text NOT NULL,
        url text NOT NULL,
        secret text NOT NULL,
        events text[] NOT NULL,
        threshold text,
        is_enabled boolean NOT NULL,
        change_position bigint,
        fired_bucket bigint,
        CONSTRAINT webhooks_pkey PRIMARY KEY (project_id, webhook_id)
      )`);
    // One event has the same delivery_id for each webhook that it is sent to.
    await runner.query(`
      CREATE TABLE webhook_deliveries (
        project_id integer NOT NULL,
        webhook_id bigint NOT NULL,
        delivery_id bigint NOT NULL,
        event text NOT NULL,
        body text NOT NULL,
        status text NOT NULL,
        attempts integer NOT NULL,
        due_at timestamptz NOT NULL,
        response_status integer,
        error text,
        finished_at timestamptz,
        CONSTRAINT webhook_deliveries_pkey PRIMARY KEY (project_id, webhook_id, delivery_id),
        CONSTRAINT webhook_deliveries_status_check CHECK (status IN ('queued', 'delivered', 'failed'))
      )`);
    await runner.query(`
      CREATE INDEX webhook_deliveries_due_idx ON webhook_deliveries (project_id, due_at) WHERE status = 'queued'`);
    await runner.query(`
      CREATE INDEX webhook_deliveries_finished_idx ON webhook_deliveries (finished_at) WHERE finished_at IS NOT NULL`);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`DROP TABLE webhook_deliveries, webhooks`);
  }
}
