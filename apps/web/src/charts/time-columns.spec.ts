import { describe, expect, it } from '@jest/globals';
import { bucketText } from './bucket-times.js';
import { stackBases, timeColumns } from './time-columns.js';

/** One series with the value 1 in each bucket. */
function valuesOf(groups: string[], bucket: string): (number | null)[] {
  const results = new Map(groups.map((group, index) => [index, { group, value: 1, count: 1 }]));
  return timeColumns(groups, bucket, [{ results }]).values[0] ?? [];
}

describe('an empty bucket', () => {
  it.each([
    ['1h', ['2024-12-10T08:00:00Z', '2024-12-10T09:00:00Z', '2024-12-10T11:00:00Z'], [1, 1, null, 1]],
    // In Lisbon the clocks change on 27 October: that day has 25 hours.
    ['1d', ['2024-10-26T23:00:00Z', '2024-10-28T00:00:00Z', '2024-10-30T00:00:00Z'], [1, 1, null, 1]],
    ['1mo', ['2023-12-01T00:00:00Z', '2024-01-01T00:00:00Z', '2024-02-01T00:00:00Z'], [1, 1, 1]],
    ['1mo', ['2024-01-01T00:00:00Z', '2024-03-01T00:00:00Z'], [1, null, 1]],
    ['3mo', ['2024-04-01T00:00:00Z', '2024-07-01T00:00:00Z', '2024-10-01T00:00:00Z'], [1, 1, 1]],
    ['1y', ['2024-01-01T00:00:00Z', '2025-01-01T00:00:00Z', '2027-01-01T00:00:00Z'], [1, 1, null, 1]],
  ])('of %s is a gap in the line', (bucket, groups, values) => {
    expect(valuesOf(groups, bucket)).toEqual(values);
  });

  it('of one series is a gap where another has a value', () => {
    const groups = ['2024-12-10T08:00:00Z', '2024-12-10T09:00:00Z'];
    const second = new Map([[1, { group: groups[1] ?? '', value: 2, count: 1 }]]);
    expect(timeColumns(groups, '1h', [{ results: second }]).values).toEqual([[null, 2]]);
  });
});

it('ends a bucket where the next one starts, and the last after its usual length', () => {
  const { starts, ends } = timeColumns(['2024-02-01T00:00:00Z', '2024-03-01T00:00:00Z'], '1mo', []);
  expect(ends).toEqual([starts[1], (starts[1] ?? 0) + 30 * 86_400]);
});

it('stacks bars on those of the series before them', () => {
  expect(
    stackBases([
      [1, null, 2],
      [3, 4, null],
      [5, 6, 7],
    ]),
  ).toEqual([
    [0, 0, 0],
    [1, 0, 2],
    [4, 4, 2],
  ]);
});

it('writes the start of a bucket in its time zone, as exactly as the bucket', () => {
  const start = '2024-12-31T23:30:00Z';
  const texts = ['1h', '1d', '1mo', '1y'].map((bucket) => bucketText(start, bucket, 'Asia/Kolkata'));
  expect(texts).toEqual(['2025-01-01 05:00', '2025-01-01', '2025-01', '2025']);
});
