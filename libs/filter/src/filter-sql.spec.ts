import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { filterSql } from './filter-sql.js';
import type { Filter, ValueTest } from './filter.js';
import { parseFilter } from './parse-filter.js';

const COLUMNS = { data: 'o.data', batchId: 'o.batch_id', subject: 'o.subject', observedAt: 'o.observed_at' };

function sqlOf(filter: Filter, values: unknown[] = []): { text: string; values: unknown[] } {
  return { text: filterSql(filter, COLUMNS, values), values };
}

function sqlOfData(data: unknown): { text: string; values: unknown[] } {
  return sqlOf(parseFilter({ data: JSON.stringify(data) }));
}

const text = fc.oneof(fc.string(), fc.constantFrom("'", '$1', "'; DROP TABLE objects; --", '%s', '\\', '"', '::jsonb'));
const value = fc.oneof(
  text.map((one) => JSON.stringify(one)),
  fc.constantFrom('1', '0.10', 'true', 'null', '[1]', '{"a":[]}'),
);
const test: fc.Arbitrary<ValueTest> = fc.oneof(
  fc.constant({ op: 'exists' as const }),
  fc.record({ op: fc.constant('eq' as const), value }),
  fc.record({ op: fc.constant('in' as const), values: fc.array(value, { maxLength: 3 }) }),
  fc.record({
    op: fc.constantFrom('gt' as const, 'gte' as const, 'lt' as const, 'lte' as const),
    value: fc.constantFrom('1', '"a"'),
  }),
  fc.record({ op: fc.constantFrom('prefix' as const, 'contains' as const), text }),
);
const { filter } = fc.letrec<{ filter: Filter }>((tie) => ({
  filter: fc.oneof(
    { maxDepth: 3 },
    fc.record({ kind: fc.constant('value' as const), key: fc.option(text), isLiteral: fc.boolean(), test }),
    fc.record({ kind: fc.constant('batch' as const), batchId: text }),
    fc.record({ kind: fc.constant('subject' as const), subject: text }),
    fc.record({ kind: fc.constant('subject_prefix' as const), prefix: text }),
    fc.record({ kind: fc.constant('observed' as const), from: text, until: fc.option(text) }),
    fc.record({ kind: fc.constant('not' as const), of: tie('filter') }),
    fc.record({
      kind: fc.constantFrom('and' as const, 'or' as const),
      of: fc.array(tie('filter'), { maxLength: 3 }),
    }),
  ),
}));

describe('filterSql', () => {
  it('contains only columns, operators and parameter numbers', () => {
    const nested =
      /EXISTS \(SELECT FROM unnest\(\$\d+::jsonpath\[\]\) AS p\(path\), jsonb_path_query\(o\.data, p\.path\) AS v\(value\) WHERE v\.value = ANY \(\$\d+::jsonb\[\]\)\)/g;
    const pieces =
      /^(?:o\.(?:data|batch_id|subject|observed_at)|\$\d+|'\[\{"value":\[\]\}\]'|::(?:jsonb|jsonpath|timestamptz)|@>|@@|\^@|>=|<|=|AND|OR|IS NOT TRUE|TRUE|FALSE|[() ])+$/;
    fc.assert(
      fc.property(filter, (one) => {
        const { text: sql, values } = sqlOf(one);
        expect(sql.replace(nested, 'TRUE')).toMatch(pieces);
        // An export writes them as literals.
        expect(values.every((each) => typeof each === 'string')).toBe(true);
        const places = [...sql.matchAll(/\$(\d+)/g)].map((match) => Number(match[1]));
        expect(places.sort((a, b) => a - b)).toEqual(values.map((_, i) => i + 1));
      }),
    );
  });

  it('passes a pair as JSON with its key and value', () => {
    fc.assert(
      fc.property(text, text, (key, one) => {
        const { values } = sqlOf({
          kind: 'value',
          key,
          isLiteral: true,
          test: { op: 'eq', value: JSON.stringify(one) },
        });
        expect(JSON.parse(String(values[0]))).toEqual([{ key, value: one }]);
      }),
    );
  });

  it('numbers its parameters after the existing ones', () => {
    expect(sqlOf({ kind: 'subject', subject: 's' }, [7, 8])).toEqual({ text: 'o.subject = $3', values: [7, 8, 's'] });
  });

  it('combines all pairs into one containment, which the index can intersect, and looks into arrays only where there are some', () => {
    expect(sqlOf(parseFilter({ data: '{"a":1.0,"b":null,"c":{"$exists":true}}' }))).toEqual({
      text: `(o.data @> $1::jsonb OR (o.data @> '[{"value":[]}]'::jsonb AND o.data @@ $2::jsonpath))`,
      values: [
        '[{"key":"a","value":1.0},{"key":"b","value":null},{"key":"c"}]',
        'exists($[*] ? ((@.key == "a" && @.value == 1.0))) && exists($[*] ? ((@.key == "b" && @.value == null))) && exists($[*] ? ((@.key == "c" && exists(@.value))))',
      ],
    });
  });

  it('needs only a containment for a key', () => {
    expect(sqlOf(parseFilter({ key: 'a' }))).toEqual({ text: 'o.data @> $1::jsonb', values: ['[{"key":"a"}]'] });
  });

  it('combines all other conditions on data into one path', () => {
    expect(sqlOfData({ $or: [{ a: 1 }, { b: { $not: { $gte: 2, $lt: 3 } } }], 'c.d': { $prefix: 'x' } })).toEqual({
      text: 'o.data @@ $1::jsonpath',
      values: [
        '(exists($[*] ? ((@.key == "a" && @.value == 1))) || ' +
          '(!(exists($[*] ? ((@.key == "b" && @.value >= 2)))) || !(exists($[*] ? ((@.key == "b" && @.value < 3)))))) && ' +
          'exists($[*] ? ((@.key == "c.d" && @.value starts with "x") || (@.key == "c" && @.value."d" starts with "x")))',
      ],
    });
  });

  it('compares arrays and objects as a whole, and the elements of an array', () => {
    expect(sqlOfData({ a: { $in: [[1], 2] } })).toEqual({
      text: 'o.data @> $1::jsonb AND EXISTS (SELECT FROM unnest($2::jsonpath[]) AS p(path), jsonb_path_query(o.data, p.path) AS v(value) WHERE v.value = ANY ($3::jsonb[]))',
      values: [
        '[{"key":"a"}]',
        String.raw`{"$[*] ? (@.key == \"a\").value","$[*] ? (@.key == \"a\").value[*]"}`,
        '{"[1]","2"}',
      ],
    });
  });

  it('negates conditions on columns that may be null exactly', () => {
    expect(sqlOf({ kind: 'not', of: { kind: 'subject', subject: 's' } }).text).toBe('(o.subject = $1) IS NOT TRUE');
  });

  it('keeps alternatives in parentheses', () => {
    const { text: sql, values } = sqlOf(
      parseFilter({ data: '{"a":1,"b":2}', match: 'any', value: 'x', batch_id: 'b', subject_prefix: 's' }),
    );
    expect(sql).toBe(
      `(o.data @> $1::jsonb OR (o.data @> '[{"value":[]}]'::jsonb AND o.data @@ $2::jsonpath)) AND ` +
        'o.data @@ $3::jsonpath AND o.batch_id = $4 AND o.subject ^@ $5',
    );
    expect(values.slice(2)).toEqual([
      '(exists($[*] ? ((@.key == "a" && @.value == 1))) || exists($[*] ? ((@.key == "b" && @.value == 2))))',
      'b',
      's',
    ]);
  });

  it('includes the start and excludes the end of a time span', () => {
    const asks = { observed_from: '2024-05-01T00:00:00Z', observed_until: '2024-05-02T00:00:00Z' };
    expect(sqlOf(parseFilter(asks))).toEqual({
      text: 'o.observed_at >= $1::timestamptz AND o.observed_at < $2::timestamptz',
      values: ['2024-05-01T00:00:00Z', '2024-05-02T00:00:00Z'],
    });
  });

  it('is TRUE without conditions', () => {
    expect(sqlOf(parseFilter({}))).toEqual({ text: 'TRUE', values: [] });
    expect(sqlOf(parseFilter({ data: '{}' }))).toEqual({ text: 'TRUE', values: [] });
  });

  it('has a bounded number of parameters', () => {
    const all = { $or: Array.from({ length: 100 }, (_, i) => ({ [`k${String(i)}`]: { $ne: [i] } })) };
    expect(sqlOfData(all).values.length).toBeLessThanOrEqual(300);
  });
});
