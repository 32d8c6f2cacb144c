import type { MigrationInterface, QueryRunner } from 'typeorm';

/** Repeatable writes: a digest of each batch, jobs with their bodies, responses by Idempotency-Key. */
export class Writes1764100000000 implements MigrationInterface {
  name = 'Writes1764100000000';

  async up(runner: QueryRunner): Promise<void> {
    // Null when unknown: computed from the objects when needed, and set to null by every change of the batch.
    await runner.query(`ALTER TABLE batches ADD COLUMN digest bytea`);
    // `job_id` is a sequence number: it orders the jobs and contains the time of acceptance.
    await runner.query(`
      CREATE TABLE jobs (
        project_id integer NOT NULL,
        job_id bigint NOT NULL,
        key_id bigint NOT NULL,
        operation text NOT NULL,
        input text NOT NULL,
        media_type text NOT NULL,
        parts integer NOT NULL,
        status text NOT NULL,
        attempts integer NOT NULL,
        worker_id text,
        finished_at timestamptz,
        result_status integer,
        result text,
        problem text,
        CONSTRAINT jobs_pkey PRIMARY KEY (project_id, job_id),
        CONSTRAINT jobs_status_check CHECK (status IN ('queued', 'running', 'succeeded', 'failed'))
      )`);
    await runner.query(`CREATE INDEX jobs_status_idx ON jobs (project_id, status, job_id)`);
    // A producer reads the jobs of its own key only.
    await runner.query(`CREATE INDEX jobs_key_idx ON jobs (project_id, key_id, job_id)`);
    // For maintenance of all projects: the jobs of a dead worker, and old jobs. Both indexes are small.
    await runner.query(`CREATE INDEX jobs_worker_idx ON jobs (worker_id) WHERE status = 'running'`);
    await runner.query(`CREATE INDEX jobs_finished_idx ON jobs (finished_at) WHERE finished_at IS NOT NULL`);
    // The workers that are alive, by the name under which graphile-worker locks jobs.
    await runner.query(`
      CREATE TABLE job_workers (
        worker_id text NOT NULL,
        beat_at timestamptz NOT NULL,
        CONSTRAINT job_workers_pkey PRIMARY KEY (worker_id)
      )`);
    // A request body of any size, in parts; deleted when the job has succeeded. `kept_at` distinguishes an upload in progress,
    // which may last for days before its job exists, from one that was interrupted.
    await runner.query(`
      CREATE TABLE job_parts (
        project_id integer NOT NULL,
        job_id bigint NOT NULL,
        part integer NOT NULL,
        bytes bytea NOT NULL,
        kept_at timestamptz NOT NULL DEFAULT now(),
        CONSTRAINT job_parts_pkey PRIMARY KEY (project_id, job_id, part)
      )`);
    // project_id is 0 for an operator's. `key_hash` is a hash of the API key, the route and the Idempotency-Key.
    // `status` and `answer`, the response, are null while the first request runs.
    await runner.query(`
      CREATE TABLE idempotency_keys (
        project_id integer NOT NULL,
        key_hash bytea NOT NULL,
        fingerprint bytea NOT NULL,
        claim_id bigint NOT NULL,
        claimed_at timestamptz NOT NULL,
        claimed_until timestamptz NOT NULL,
        expires_at timestamptz NOT NULL,
        status integer,
        answer bytea,
        CONSTRAINT idempotency_keys_pkey PRIMARY KEY (project_id, key_hash)
      )`);
    await runner.query(`CREATE INDEX idempotency_keys_expires_idx ON idempotency_keys (expires_at)`);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`DROP TABLE idempotency_keys, job_parts, job_workers, jobs`);
    await runner.query(`ALTER TABLE batches DROP COLUMN digest`);
  }
}
