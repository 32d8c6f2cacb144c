import { expect, it } from '@jest/globals';
import { WHOLE_VIEW } from '#objects';
import { EventLoopYield } from '#platform';
import { CsvEncoder } from './csv-encoder.js';
import { DataColumns } from './data-columns.js';
import type { ExportRow } from './export-rows.js';
import { NdjsonEncoder } from './ndjson-encoder.js';
import { ParquetEncoder } from './parquet-encoder.js';
import { tableOf } from './table.js';

/** Yields whenever it can. */
class EveryYield extends EventLoopYield {
  count = 0;

  override get isDue(): boolean {
    return true;
  }

  override yield(): Promise<void> {
    this.count++;
    return super.yield();
  }
}

const COLUMN_COUNT = 46;
const data = `[${Array.from({ length: COLUMN_COUNT }, (_, i) => `{"key": "k${String(i)}", "value": 1}`).join(', ')}]`;
const row: ExportRow = { object_id: 'o', batch_id: 'b', subject: null, observed_at: '2026-11-26T09:00:00Z', data };
const columns = new DataColumns();
columns.add(data);
const table = tableOf(columns, null);

it.each([
  ['CSV', new CsvEncoder(table, false)],
  ['NDJSON', new NdjsonEncoder(WHOLE_VIEW)],
  ['Parquet', new ParquetEncoder(table)],
])('lets other requests run between the rows of %s', async (_, encoder) => {
  const turns = new EveryYield(1);
  await encoder.encode([row, row, row], turns);
  expect(turns.count).toBe(3);
});

it('lets other requests run between the columns of a row group of Parquet', async () => {
  const encoder = new ParquetEncoder(table);
  await encoder.encode(new Array<ExportRow>(1_000).fill(row), new EveryYield(1));
  const turns = new EveryYield(1);
  await encoder.end(turns);
  // 1,000 rows of 50 columns are 50,000 values, of which 20,000 are written at once.
  expect(turns.count).toBe(3);
});
