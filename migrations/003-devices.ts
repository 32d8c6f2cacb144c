import type { MigrationInterface, QueryRunner } from 'typeorm';

/** Devices: what a key of the role device speaks for. */
export class Devices1764200000000 implements MigrationInterface {
  name = 'Devices1764200000000';

  async up(runner: QueryRunner): Promise<void> {
    // The key is the device alone: its id is unique in the installation, also while it moves from project to project. That
    // makes this a reference table on a cluster, whole on every node, as projects and keys are.
    await runner.query(`
      CREATE TABLE devices (
        project_id integer NOT NULL,
        device_id text COLLATE "C" NOT NULL,
        seq bigint NOT NULL,
        CONSTRAINT devices_pkey PRIMARY KEY (device_id),
        CONSTRAINT devices_project_fkey FOREIGN KEY (project_id) REFERENCES projects (project_id)
      )`);
    await runner.query(`CREATE INDEX devices_seq_idx ON devices (project_id, seq)`);
    // A device that moves has all its keys revoked: without this that reads every key there is.
    await runner.query(`CREATE INDEX api_keys_device_idx ON api_keys (device_id) WHERE device_id IS NOT NULL`);
    // Keys that were made before there were devices: the first that named an id keeps it for its project.
    await runner.query(`
      INSERT INTO devices (project_id, device_id, seq)
      SELECT DISTINCT ON (device_id) project_id, device_id, key_id FROM api_keys
      WHERE device_id IS NOT NULL AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > now())
      ORDER BY device_id, key_id`);
    await runner.query(`
      UPDATE api_keys AS k SET revoked_at = now()
      WHERE k.device_id IS NOT NULL AND k.revoked_at IS NULL
        AND NOT EXISTS (SELECT FROM devices AS d WHERE d.device_id = k.device_id AND d.project_id = k.project_id)`);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`DROP INDEX api_keys_device_idx`);
    await runner.query(`DROP TABLE devices`);
  }
}
