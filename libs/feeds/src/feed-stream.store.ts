import { DISABLE_STATEMENT_TIMEOUT, type Queryable } from '#database';
import type { NewObjectRow } from '#store';
import type { UsageChange } from '#usage';
import { Injectable } from '@nestjs/common';

/** A temporary table of the connection, empty at the start of every transaction. Data stays text, with every digit. */
const CREATE_STAGE = `
  CREATE TEMP TABLE IF NOT EXISTS staged_readings (
    position bigint GENERATED ALWAYS AS IDENTITY, object_id text, subject text, observed_at text, data text
  ) ON COMMIT DELETE ROWS`;

const STAGE = `
  INSERT INTO staged_readings (object_id, subject, observed_at, data)
  SELECT i, s, t, d FROM ROWS FROM (jsonb_to_recordset($1::jsonb) AS (i text, s text, t text, d text))
    WITH ORDINALITY AS o (i, s, t, d, ordinal) ORDER BY ordinal`;

/** Of the objects with the same id the last one is stored. By bytes, which is faster than the order of a language. */
const SIZE_OF_LAST = `
  SELECT count(*) AS objects, coalesce(sum(bytes), 0) AS bytes FROM (
    SELECT DISTINCT ON (object_id COLLATE "C") octet_length(data) AS bytes FROM staged_readings
    ORDER BY object_id COLLATE "C", position DESC) AS last`;

/** Without an index: every part is found by a scan from where the last one ended, as a cursor does. */
const DECLARE = `
  DECLARE staged NO SCROLL CURSOR FOR
  SELECT object_id AS "objectId", subject, observed_at AS "observedAt", data FROM staged_readings ORDER BY position`;

/** Objects that are stored by one statement. */
const PART_OBJECTS = 2_000;
const FETCH = `FETCH ${String(PART_OBJECTS)} FROM staged`;

/** The statements that keep the objects of a stream until all of it has arrived. All of them are in one transaction. */
@Injectable()
export class FeedStreamStore {
  async begin(tx: Queryable): Promise<void> {
    await tx.query(DISABLE_STATEMENT_TIMEOUT);
    await tx.query(CREATE_STAGE);
  }

  async stage(tx: Queryable, objects: readonly NewObjectRow[]): Promise<void> {
    const rows = objects.map(({ objectId: i, subject: s, observedAt: t, data: d }) => ({ i, s, t, d }));
    await tx.query(STAGE, [JSON.stringify(rows)]);
  }

  /** What is stored in the end: of the staged objects with the same id the last one. */
  async sizeOfLast(tx: Queryable): Promise<UsageChange> {
    const [row] = await tx.query<Record<keyof UsageChange, string>>(SIZE_OF_LAST);
    return { objects: Number(row?.objects), bytes: Number(row?.bytes) };
  }

  /** The staged objects in their order, a part at a time. */
  async *read(tx: Queryable): AsyncGenerator<NewObjectRow[]> {
    await tx.query(DECLARE);
    for (;;) {
      const part = await tx.query<NewObjectRow>(FETCH);
      if (part.length > 0) yield part;
      if (part.length < PART_OBJECTS) break;
    }
    await tx.query('CLOSE staged');
  }
}
