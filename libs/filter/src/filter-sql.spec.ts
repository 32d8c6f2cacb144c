import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { filterSql } from './filter-sql.js';
import type { Filter } from './filter.js';
import { parseFilter } from './parse-filter.js';

const COLUMNS = { data: 'o.data', batchId: 'o.batch_id', subject: 'o.subject', observedAt: 'o.observed_at' };

function sqlOf(filter: Filter, values: unknown[] = []): { text: string; values: unknown[] } {
  return { text: filterSql(filter, COLUMNS, values), values };
}

const text = fc.oneof(fc.string(), fc.constantFrom("'", '$1', "'; DROP TABLE objects; --", '%s', '\\', '"', '::jsonb'));
const scalar = fc.oneof(
  text.map((value) => JSON.stringify(value)),
  fc.constantFrom('1', '0.10', 'true', 'null'),
);
const { filter } = fc.letrec<{ filter: Filter }>((tie) => ({
  filter: fc.oneof(
    { maxDepth: 3 },
    fc.record({ kind: fc.constant('pair' as const), key: text, value: fc.option(scalar) }),
    fc.record({ kind: fc.constant('pair' as const), key: fc.constant(null), value: scalar }),
    fc.record({ kind: fc.constant('batch' as const), batchId: text }),
    fc.record({ kind: fc.constant('subject' as const), subject: text }),
    fc.record({ kind: fc.constant('observed' as const), from: text, until: fc.option(text) }),
    fc.record({
      kind: fc.constantFrom('and' as const, 'or' as const),
      of: fc.array(tie('filter'), { minLength: 1, maxLength: 3 }),
    }),
  ),
}));

describe('filterSql', () => {
  it('contains only columns, operators and parameter numbers', () => {
    const pieces =
      /^(?:o\.(?:data|batch_id|subject|observed_at)|\$\d+|::(?:jsonb|timestamptz)|@>|>=|<|=|AND|OR|[() ])+$/;
    fc.assert(
      fc.property(filter, (one) => {
        const { text: sql, values } = sqlOf(one);
        expect(sql).toMatch(pieces);
        const places = [...sql.matchAll(/\$(\d+)/g)].map((match) => Number(match[1]));
        expect(places.sort((a, b) => a - b)).toEqual(values.map((_, i) => i + 1));
      }),
    );
  });

  it('passes a pair as JSON with its key and value', () => {
    fc.assert(
      fc.property(text, scalar, (key, value) => {
        const { values } = sqlOf({ kind: 'pair', key, value });
        expect(JSON.parse(String(values[0]))).toEqual([{ key, value: JSON.parse(value) as unknown }]);
      }),
    );
  });

  it('numbers its parameters after the existing ones', () => {
    expect(sqlOf({ kind: 'subject', subject: 's' }, [7, 8])).toEqual({ text: 'o.subject = $3', values: [7, 8, 's'] });
  });

  it('combines all pairs into one containment, which the index can intersect', () => {
    expect(sqlOf(parseFilter({ data: '{"a":1.0,"b":null}' }))).toEqual({
      text: 'o.data @> $1::jsonb',
      values: ['[{"key":"a","value":1.0},{"key":"b","value":null}]'],
    });
  });

  it('keeps alternatives in parentheses', () => {
    const { text: sql, values } = sqlOf(
      parseFilter({ data: '{"a":1,"b":2}', match: 'any', value: '3', batch_id: 'x' }),
    );
    expect(sql).toBe(
      '(o.data @> $1::jsonb OR o.data @> $2::jsonb) AND (o.data @> $3::jsonb OR o.data @> $4::jsonb) AND o.batch_id = $5',
    );
    expect(values).toEqual([
      '[{"key":"a","value":1}]',
      '[{"key":"b","value":2}]',
      '[{"value":"3"}]',
      '[{"value":3}]',
      'x',
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
});
