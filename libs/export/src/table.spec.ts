import { describe, expect, it } from '@jest/globals';
import { DataColumns } from './data-columns.js';
import { cellsOf, tableOf } from './table.js';

const TABLE = tableOf(new DataColumns(['tag', 'n'], false), [{ key: 'tag' }, { key: 'n' }]);

describe('cellsOf', () => {
  it('returns the values of each repeated key as one list, in the order of the object', () => {
    const pairs = [
      ['tag', '"a"'],
      ['n', '1'],
      ['tag', 'null'],
      ['n', '2'],
      ['tag', '[1]'],
    ];
    const data = `[${pairs.map(([key, value]) => `{"key": "${String(key)}", "value": ${String(value)}}`).join(', ')}]`;
    expect(cellsOf(data, TABLE)).toEqual(['["a", null, [1]]', '[1, 2]']);
  });

  it('takes linear time for a key that is repeated 95,000 times', () => {
    const count = 95_000;
    const pairs = Array.from({ length: count }, (_, i) => `{"key": "n", "value": ${String(i)}}`);
    const [tag, list] = cellsOf(`[${pairs.join(', ')}]`, TABLE);
    expect(tag).toBeUndefined();
    expect(JSON.parse(list ?? '')).toEqual(Array.from({ length: count }, (_, i) => i));
  });
});
