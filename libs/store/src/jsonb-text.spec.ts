import { jsonbText } from '#json';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { cloneDatabase, type TestDatabase } from '../../../test/harness/database.js';

let db: TestDatabase;
beforeAll(async () => {
  db = await cloneDatabase();
});
afterAll(() => db.close());

const number = fc
  .tuple(
    fc.constantFrom('', '-'),
    fc.bigInt({ min: 0n, max: 10n ** 20n }),
    fc.stringMatching(/^(\.\d{1,5})?([eE][+-]?\d{1,2})?$/),
  )
  .map(([sign, whole, rest]) => `${sign}${String(whole)}${rest}`);
const text = fc
  .string({ unit: 'binary' })
  .filter((one) => one.isWellFormed() && !one.includes('\0'))
  .map((one) => JSON.stringify(one));
const escaped = fc.constantFrom(
  '"\\u00fc"',
  '"\\/"',
  '"\\ud83d\\ude00"',
  '"\\u001f\\u007f"',
  '-0',
  '-0.00e1',
  '0e5',
  '0E-3',
  '1.50e1',
);
const { json } = fc.letrec<{ json: string; list: string; object: string }>((tie) => ({
  json: fc.oneof(
    { maxDepth: 3 },
    number,
    text,
    escaped,
    fc.constantFrom('true', 'false', 'null'),
    tie('list'),
    tie('object'),
  ),
  list: fc.array(tie('json'), { maxLength: 4 }).map((of) => `[ ${of.join(' ,\n')}]`),
  object: fc
    .uniqueArray(fc.tuple(text, tie('json')), { maxLength: 5, selector: ([name]) => name })
    .map((of) => `{${of.map(([name, value]) => `${name}\t:${value}`).join()}}`),
}));

describe('jsonbText', () => {
  it('is the text that PostgreSQL writes', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(json, { minLength: 20, maxLength: 40 }), async (texts) => {
        const sql = `SELECT (value::jsonb)::text AS text FROM unnest($1::text[]) WITH ORDINALITY AS v(value, n) ORDER BY n`;
        const rows = await db.database.query<{ text: string }>(sql, [texts]);
        expect(texts.map(jsonbText)).toEqual(rows.map((row) => row.text));
      }),
      { numRuns: 50 },
    );
  });
});
