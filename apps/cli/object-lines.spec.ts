import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { ObjectLines } from './object-lines.js';

/** Converts a text in chunks of `size` characters. */
function convert(text: string, chunkBytes = Infinity): { ndjson: string; objectCount: number } {
  const bytes = Buffer.from(text);
  const lines = new ObjectLines();
  const converted: Buffer[] = [];
  for (let at = 0; at < bytes.length; at += chunkBytes)
    converted.push(lines.convert(bytes.subarray(at, at + chunkBytes)));
  lines.end();
  return { ndjson: Buffer.concat(converted).toString(), objectCount: lines.objectCount };
}

describe('ObjectLines', () => {
  it('writes the elements of objects as lines, in order, for any order of members and any chunks', () => {
    // Strings that contain tokens of JSON.
    const text = fc.oneof(
      fc.string({ unit: 'binary' }),
      fc.constantFrom('"', '\\', '\\"', '"objects":[', '],}', '{', ',', '\n'),
    );
    const object = fc.dictionary(text, fc.jsonValue({ maxDepth: 3 }), { maxKeys: 4 });
    fc.assert(
      fc.property(
        fc.array(object),
        text,
        fc.boolean(),
        fc.boolean(),
        fc.nat(7),
        (objects, id, isFirst, isSpaced, n) => {
          const batch = isFirst ? { batch_id: id, objects } : { objects, batch_id: id };
          const { ndjson, objectCount } = convert(JSON.stringify(batch, null, isSpaced ? 2 : 0), n + 1);
          const lines = ndjson === '' ? [] : ndjson.replace(/\n$/, '').split('\n');
          expect(lines.map((line) => JSON.parse(line) as unknown)).toEqual(JSON.parse(JSON.stringify(objects)));
          expect(objectCount).toBe(objects.length);
        },
      ),
    );
  });

  it('keeps the text of each object: digits, escapes, repeated names and spaces', () => {
    const objects = [
      '{"object_id":"\\u0061\\n","data":[{"key":"n","value":12345678901234567890}]}',
      '{ "data" : {"n":0.1000,"n":1e400} }',
      '{"é":"\u{1F45F}"}',
    ];
    expect(convert(`{"b\\u0061tch_id":"a","objects":[${objects.join(',')}]}`).ndjson).toBe(`${objects.join('\n')}\n`);
  });

  it('replaces line breaks between the tokens of an object with spaces', () => {
    expect(convert('{"objects":[{\n"a":\r\n1}\n,\n{}]}').ndjson).toBe('{ "a":\r 1} \n{}\n');
  });

  it('does not validate the elements, even if they are not objects', () => {
    expect(convert('{"objects":[7,{"a" 1},"x",[{},{}],{"a":1]]}').ndjson).toBe('7\n{"a" 1}\n"x"\n[{},{}]\n{"a":1]\n');
  });

  it.each([
    ['{"batch_id":"a","objects":[{}', '', 'is not valid JSON: unexpected end of file'],
    ['{"batch_id":"a","objects":[{}]', '', 'is not valid JSON: unexpected end of file'],
    ['{"batch_id":"a"}', '/objects', 'is missing'],
    ['{"objects":{}}', '/objects', 'must be a list of objects'],
    ['{"objects":[],"batch_id":7}', '/batch_id', 'must be text'],
    ['{"objects":[],"objects":[]}', '/objects', 'appears twice'],
    ['{"objects":[],"a/b":1}', '/a~1b', 'is not a member of a batch'],
    ['{"objects":[{},]}', '', 'is not valid JSON: expected an object at byte 16'],
    ['{"objects":[,{}]}', '', 'is not valid JSON: expected an object or "]" at byte 13'],
    ['{"objects":[{}}]}', '', 'is not valid JSON: expected "," or "]" at byte 15'],
    ['{"objects":[{"a\n":1}]}', '', 'is not valid JSON: a line break inside a string at byte 16'],
    ['{"objects":[]"batch_id":"a"}', '', 'is not valid JSON: expected "," or "}" at byte 14'],
    ['{"objects":[],}', '', 'is not valid JSON: expected a member name at byte 15'],
    ['{"objects" []}', '', 'is not valid JSON: expected ":" at byte 12'],
    ['{objects:[]}', '', 'is not valid JSON: expected a member name or "}" at byte 2'],
    ['{"objects":[]} {}', '', 'is not valid JSON: expected the end of the file at byte 16'],
    ['[{}]', '', 'is not valid JSON: expected "{" at byte 1'],
  ])('rejects %j with the location of the error, for any chunks', (text, pointer, message) => {
    for (const chunkBytes of [1, 3, Infinity]) {
      let error: unknown;
      try {
        convert(text, chunkBytes);
      } catch (caught) {
        error = caught;
      }
      expect(error).toMatchObject({ name: 'SourceError', pointer, message });
    }
  });
});
