import { describe, expect, it } from '@jest/globals';
import { parseJsonObjects } from './json-objects.js';

describe('a JSON file', () => {
  it('that is a list has its objects as they are written, each on one line', () => {
    const text = '[ {"a": 1.50, "b": ["x,]}", "\\"\\\\"]},\r\n  {\n"c":\n12345678901234567890 } ]';
    expect(parseJsonObjects(text)).toEqual({
      batchId: null,
      objects: ['{"a": 1.50, "b": ["x,]}", "\\"\\\\"]}', '{ "c": 12345678901234567890 }'],
    });
    expect(parseJsonObjects(' [ ] ')?.objects).toEqual([]);
  });

  it('that is a batch has an id and objects, also where other members have the same names', () => {
    const text =
      '{"x": {"objects": [1]}, "y": "objects", "objects" : [{"objects": []}, [2]], "batch_id": "b", "z": [3]}';
    expect(parseJsonObjects(text)).toEqual({ batchId: 'b', objects: ['{"objects": []}', '[2]'] });
    expect(parseJsonObjects('{"\\u006fbjects":[7]}')).toEqual({ batchId: null, objects: ['7'] });
  });

  it('of another form is recognized', () => {
    for (const text of ['7', 'null', '{}', '{"objects":{}}']) expect(parseJsonObjects(text)).toBeNull();
    expect(() => parseJsonObjects('[{"a":1}')).toThrow(SyntaxError);
  });
});
