import type { MigrationInterface, QueryRunner } from 'typeorm';

/** Devices. A key of the role device belongs to one. */
export class Devices1764200000000 implements MigrationInterface {
  name = 'Devices1764200000000';

  async up(runner: QueryRunner): Promise<void> {
    // The primary key is the device alone: its id is unique in the installation, also when it moves to another project. On a
    // cluster this is a reference table, complete on every node, like projects and keys.
    await runner.query(`
      CREATE TABLE devices (
        project_id integer NOT NULL,
        device_id text COLLATE "C" NOT NULL,
        seq bigint NOT NULL,
        CONSTRAINT devices_pkey PRIMARY KEY (device_id),
        CONSTRAINT devices_project_fkey FOREIGN KEY (project_id) REFERENCES projects (project_id)
      )`);
    await runner.query(`CREATE INDEX devices_seq_idx ON devices (project_id, seq)`);
    // Moving a device revokes all its keys, which would otherwise read every key of the installation.
    await runner.query(`CREATE INDEX api_keys_device_idx ON api_keys (device_id) WHERE device_id IS NOT NULL`);
    // Keys that are older than this table: the first key with a device id keeps the id in its project.
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
