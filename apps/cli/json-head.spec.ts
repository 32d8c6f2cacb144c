import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { JsonHead } from './json-head.js';

function headOf(text: string, chunkBytes = Infinity): JsonHead {
  const bytes = Buffer.from(text);
  const head = new JsonHead();
  for (let at = 0; at < bytes.length; at += chunkBytes) if (head.take(bytes.subarray(at, at + chunkBytes))) break;
  return head;
}

describe('JsonHead', () => {
  it('finds the same batch_id as JSON.parse, at any position and for any chunks', () => {
    // Strings that contain tokens of JSON.
    const text = fc.oneof(
      fc.string({ unit: 'binary' }),
      fc.constantFrom('"', '\\', '{"batch_id":"x"}', '],}', 'batch_id'),
    );
    const value = fc.jsonValue({ maxDepth: 3 });
    const others = fc.dictionary(text, value, { maxKeys: 4 });
    fc.assert(
      fc.property(others, text, others, fc.boolean(), fc.nat(7), (before, id, after, isSpaced, cut) => {
        const batch = { ...without(before), batch_id: id, ...without(after) };
        const json = JSON.stringify(batch, null, isSpaced ? 2 : 0);
        expect(headOf(json, cut + 1).batchId).toBe((JSON.parse(json) as typeof batch).batch_id);
      }),
    );
  });

  it('ignores batch_id outside of the outermost object', () => {
    const head = headOf('{"objects":[{"batch_id":"inner"},["batch_id","x"]],"a":"batch_id","b":{"batch_id":"c"}}');
    expect(head).toMatchObject({ batchId: undefined, isComplete: true, names: new Set(['objects']) });
    expect(headOf('["batch_id","x"]').batchId).toBeUndefined();
    expect(headOf('{"batch_id":7,"x":"y"}')).toMatchObject({ batchId: undefined, isComplete: true });
  });

  it('detects a feed by the first member, for any chunks', () => {
    for (const feed of ['factories', 'sprockets'] as const) {
      for (const cut of [1, 2, 5, Infinity]) expect(headOf(`{ "${feed}": [{"batch_id":"x"}`, cut).feed).toBe(feed);
      expect(headOf(`{"batch_id":"x","${feed}":[]}`).feed).toBeUndefined();
      expect(headOf(`{"objects":[{"${feed}":1}],"${feed}":[]}`)).toMatchObject({ feed: undefined, isComplete: true });
      expect(headOf(`["${feed}"]`).feed).toBeUndefined();
    }
  });

  it('reports whether the first object contains line breaks and whether it is complete', () => {
    expect(headOf('{"object_id":"a\\n","data":{}}\n{"x":1}')).toMatchObject({ isComplete: true, hasLineBreak: false });
    expect(headOf('{"object_id":\n"a"}')).toMatchObject({ isComplete: true, hasLineBreak: true });
    expect(headOf('{"object_id":"a}')).toMatchObject({ isComplete: false });
  });
});

function without(members: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(members).filter(([name]) => name !== 'batch_id' && name !== '__proto__'));
}
