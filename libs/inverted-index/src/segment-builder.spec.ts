import { describe, expect, it } from '@jest/globals';
import { EventLoopYield } from '#platform';
import { bitmapOf, entriesOf } from './block.js';
import { ascending } from './ordinals.js';
import { SegmentBuilder } from './segment-builder.js';
import { TermKind } from './term-kind.js';

/** The terms of a segment with these objects: `path kind value` and the ordinals. */
async function termsOf(...datas: string[]): Promise<Record<string, number[]>> {
  const builder = new SegmentBuilder();
  builder.add(
    datas.map((_, index) => BigInt(index + 1) * 1024n),
    datas,
  );
  const names = Object.fromEntries(Object.entries(TermKind).map(([name, kind]) => [kind, name]));
  const terms: Record<string, number[]> = {};
  for await (const { path, kind, body } of builder.blocks(new EventLoopYield(null))) {
    for (const entry of entriesOf(body, datas.length)) {
      terms[`${path} ${names[kind] ?? ''} ${entry.value}`] = [...ascending(bitmapOf(entry, datas.length))];
    }
  }
  return terms;
}

const pairs = (...list: [string, string][]): string =>
  `[${list.map(([key, value]) => `{"key":"${key}","value":${value}}`).join()}]`;

describe('SegmentBuilder', () => {
  it('has a term for each key and each scalar, once for each object', async () => {
    const first = pairs(['type', '"shoe"'], ['size', '42'], ['size', '42.0'], ['sale', 'true']);
    expect(await termsOf(first, pairs(['size', '4.2e1'], ['gone', 'null']))).toEqual({
      'type key ': [0],
      'type text shoe': [0],
      'size key ': [0, 1],
      'size number 42': [0, 1],
      'sale key ': [0],
      'sale true ': [0],
      'gone key ': [1],
      'gone null ': [1],
    });
  });

  it('has the paths of members and the elements of lists, one level deep', async () => {
    const owner = '{"city":"Rome","pets":["cat",{"name":"Rex"},["deep"]]}';
    expect(await termsOf(pairs(['owner', owner]), pairs(['owner.city', '"Rome"']))).toEqual({
      'owner key ': [0],
      'owner structure ': [0],
      'owner.city key ': [1],
      'owner.city member ': [0],
      'owner.city text Rome': [0, 1],
      'owner.pets member ': [0],
      'owner.pets structure ': [0],
      'owner.pets text cat': [0],
      'owner.pets.name member ': [0],
      'owner.pets.name text Rex': [0],
    });
  });

  it('keeps numbers apart that are equal as doubles', async () => {
    const terms = await termsOf(
      pairs(['n', '12345678901234567890']),
      pairs(['n', '12345678901234567891']),
      pairs(['n', '1e400']),
    );
    expect(terms).toMatchObject({
      'n number 1234567890123456789e1': [0],
      'n number 12345678901234567891e0': [1],
      'n number 1e400': [2],
    });
  });

  it('records that a value is too long for the index', async () => {
    const terms = await termsOf(
      pairs(['t', `"${'é'.repeat(501)}"`]),
      pairs(['t', `"${'é'.repeat(500)}"`]),
      pairs(['t', '1'.repeat(201)]),
    );
    expect(terms['t long ']).toEqual([0, 2]);
    expect(terms[`t text ${'é'.repeat(500)}`]).toEqual([1]);
  });

  it('has no entry with a text that begins like an encrypted value, also in a list', async () => {
    const datas = [pairs(['k', '"$enc1:abc"']), pairs(['k', '["$enc1:d", "e"]']), pairs(['k', '" $enc1:"'])];
    expect(await termsOf(...datas)).toEqual({
      'k key ': [0, 1, 2],
      'k structure ': [1],
      'k long ': [0, 1],
      'k text e': [1],
      'k text  $enc1:': [2],
    });
  });

  it('orders values as PostgreSQL does: numbers by value, text by code point', async () => {
    const values = ['10', '9', '-1', '"b"', '"B"', '"\u{1f600}"', '"\uffee"', '2.5'];
    const order = Object.keys(await termsOf(...values.map((value) => pairs(['k', value]))));
    expect(order.filter((term) => !term.startsWith('k key'))).toEqual(
      ['number -1', 'number 2.5', 'number 9', 'number 10', 'text B', 'text b', 'text \uffee', 'text \u{1f600}'].map(
        (term) => `k ${term}`,
      ),
    );
  });

  it('leaves out objects with more than 10,000 terms, and those of more than 256 KiB', () => {
    const builder = new SegmentBuilder();
    const many = pairs(['list', `[${Array.from({ length: 10_001 }, (_, i) => i).join()}]`]);
    builder.add([1n, 2n, 3n], [many, pairs(['a', '1']), pairs(['long', `"${'x'.repeat(256 * 1024)}"`])]);
    expect(builder.wide).toEqual([1n, 3n]);
    expect([...builder.seqs]).toEqual([2n]);
  });
});
