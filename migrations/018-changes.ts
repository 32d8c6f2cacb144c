import type { MigrationInterface, QueryRunner } from 'typeorm';

/** The changes of objects that `GET /objects/changes` returns; see docs/decisions/039. */
export class Changes1765700000000 implements MigrationInterface {
  name = 'Changes1765700000000';
  readonly phase = 'expand';

  async up(runner: QueryRunner): Promise<void> {
    // Written by the transaction that changes objects. A row is about the objects of a batch with these sequence numbers, or
    // with these ids. It is not about each object, because a batch has many.
    const what = `
      kind text NOT NULL,
      batch_id text COLLATE "C" NOT NULL,
      is_batch boolean NOT NULL,
      first_seq bigint,
      last_seq bigint,
      object_ids text[] COLLATE "C",
      objects bigint NOT NULL,
      changed_at timestamptz NOT NULL`;
    // The position in the WAL orders the changes that depend on each other: it is read after the locks of the objects were taken, and a
    // transaction that waits for these locks reads a later one.
    await runner.query(`
      CREATE TABLE pending_changes (project_id integer NOT NULL, wal_position pg_lsn NOT NULL, ${what})`);
    await runner.query(`CREATE INDEX pending_changes_idx ON pending_changes (project_id, wal_position)`);
    // A row is moved here when its transaction has committed, with a position after all that were read.
    await runner.query(`
      CREATE TABLE changes (
        project_id integer NOT NULL,
        position bigint NOT NULL,
        ${what},
        CONSTRAINT changes_pkey PRIMARY KEY (project_id, position)
      )`);
    // read_at is null while nobody follows the changes of the project; its changes are then deleted.
    await runner.query(`
      CREATE TABLE change_feeds (
        project_id integer NOT NULL,
        last_position bigint NOT NULL,
        deleted_until bigint NOT NULL,
        read_at timestamptz,
        CONSTRAINT change_feeds_pkey PRIMARY KEY (project_id)
      ) WITH (fillfactor = 50)`);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`DROP TABLE change_feeds, changes, pending_changes`);
  }
}
