import { Config } from '#platform';
import { JsonBody, Problem } from '#http';
import { describe, expect, it } from '@jest/globals';
import { CreateBatchDto } from './batch.dto.js';
import { RejectedObjects, type BatchChunk, type BatchInput } from './batch-input.js';
import type { BatchObject } from './batch-object.js';
import { BatchParser } from './batch-parser.js';

const LIMIT = 100_000;
const OBJECTS_MAX = 2_000;

const settings = { DATABASE_URL: 'postgresql://none', STOWAGE_KEY_SECRET: 'x'.repeat(32) };
const limits = { BODY_LIMIT_BYTES: String(LIMIT), BATCH_OBJECTS_MAX: String(OBJECTS_MAX) };
const parser = new BatchParser(new Config({ ...settings, ...limits }));

const parse = async (text: string, isPartial = false): Promise<BatchInput> =>
  (await parser.parseJson(CreateBatchDto, new JsonBody(Buffer.from(text), LIMIT), { isPartial })).input;
const batchOf = (objects: string[], s = ''): string =>
  `{"objects"${s}:${s}[${s}${objects.join(`${s},${s}`)}${s}],"batch_id":"b"}`;
const chunksOf = (input: BatchInput): BatchChunk[] => [...(input.chunks() as Iterable<BatchChunk>)];
const objectsOf = (input: BatchInput): BatchObject[] => chunksOf(input).flatMap(({ objects }) => objects);
const idsAt = (input: BatchInput): string[] => objectsOf(input).map((one) => `${String(one.position)}:${one.objectId}`);
const pointersOf = (errors: Problem['errors']): (string | undefined)[] =>
  errors.map((error) => ('pointer' in error ? error.pointer : undefined));

function rejectedOf(input: BatchInput): RejectedObjects {
  const rejected = new RejectedObjects();
  for (const chunk of chunksOf(input)) rejected.addChunk(chunk);
  return rejected;
}

async function problemOf(work: () => unknown): Promise<Problem> {
  try {
    await work();
  } catch (error) {
    if (error instanceof Problem) return error;
    throw error;
  }
  throw new Error('no problem');
}

const VALID = '{"object_id":"good","data":{"n":1}}';

describe('the objects of a JSON body', () => {
  it('keep the text of their data, and have positions from 0', async () => {
    const first =
      '{"data":[ {"value":0.1000,"key":"\\u006b"} ],"object_id":"a","subject":"s","observed_at":"2024-05-01T00:00:00Z"}';
    const second = '{"object_id" : "b" , "d\\u0061ta" : {"k":1e400,"\\u006b":"}],{"}}';
    for (const s of ['', ' ', '\r\n\t']) {
      expect(objectsOf(await parse(batchOf([first, second], s)))).toEqual([
        {
          position: 0,
          objectId: 'a',
          subject: 's',
          observedAt: '2024-05-01T00:00:00Z',
          data: '[ {"value":0.1000,"key":"\\u006b"} ]',
        },
        {
          position: 1,
          objectId: 'b',
          subject: null,
          observedAt: null,
          data: '[{"key":"k","value":1e400},{"key":"\\u006b","value":"}],{"}]',
        },
      ]);
    }
  });

  it('are read in chunks, in order, and can be read again', async () => {
    const ids = Array.from({ length: 1_234 }, (_, i) => String(i));
    const input = await parse(batchOf(ids.map((id) => `{"object_id":"${id}","data":[]}`)));
    for (let round = 0; round < 2; round++) {
      expect(chunksOf(input).map(({ objects, isLast }) => [objects.length, isLast])).toEqual([
        [250, false],
        [250, false],
        [250, false],
        [250, false],
        [234, true],
      ]);
      expect(idsAt(input)).toEqual(ids.map((id) => `${id}:${id}`));
    }
    expect(input.pointerTo(7)).toBe('/objects/7');
  });

  it('can be an empty list', async () => {
    for (const partial of [false, true]) expect(objectsOf(await parse(batchOf([], ' '), partial))).toEqual([]);
  });

  it('are too large when their numbers without exponents exceed BODY_LIMIT_BYTES in total', async () => {
    const objects = Array.from({ length: 20 }, (_, i) => `{"object_id":"${String(i)}","data":{"n":1e9000}}`);
    for (const partial of [false, true]) {
      expect((await problemOf(async () => chunksOf(await parse(batchOf(objects), partial)))).slug).toBe('too-large');
    }
    expect(objectsOf(await parse(batchOf(objects.slice(10))))).toHaveLength(10);
  });

  it('may not exceed object_limit_bytes with their exponents written out', async () => {
    const numbers = (count: number): string => Array.from({ length: count }, () => '"n":1e131071').join();
    const objects = [8, 7].map((count) => `{"object_id":"${String(count)}","data":{${numbers(count)}}}`);
    const body = new JsonBody(Buffer.from(batchOf(objects)), 1e9);
    const { input } = await parser.parseJson(CreateBatchDto, body, { isPartial: true });
    expect(idsAt(input)).toEqual(['1:7']);
    const detail = 'exceeds object_limit_bytes, 1048576 bytes, with its exponents written out; see /api/v1/limits';
    expect(rejectedOf(input).listed).toEqual([{ pointer: '/objects/0', detail }]);
  });
});

describe('a body that is not JSON', () => {
  it('is rejected as a whole, also next to an object that is not parsed and where valid objects are stored in part', async () => {
    const deep = `{"object_id":"deep","data":{"k":${'['.repeat(70)}${']'.repeat(70)}}}`;
    for (const partial of [false, true]) {
      const problem = await problemOf(async () =>
        chunksOf(await parse(batchOf([deep, '{"object_id":"x","data":{"k":tru}}', VALID]), partial)),
      );
      expect([problem.slug, problem.message]).toEqual([
        'malformed-request',
        expect.stringMatching(/^The body is not valid JSON at line 1, column \d+\.$/),
      ]);
    }
  });
});

/** Objects that are invalid for different reasons, and the pointer to the error relative to the object. */
const INVALID: [string, string, string][] = [
  ['null', 'null', ''],
  ['a list', '[{}]', ''],
  ['no data', '{"object_id":"x"}', '/data'],
  ['an unknown member', '{"object_id":"x","data":[],"batch_id":"b"}', '/batch_id'],
  ['a bad pair', '{"object_id":"x","data":[{"key":"k","value":1,"more":1}]}', '/data/0/more'],
  ['a name given twice', '{"object_id":"x","object_id":"y","data":[]}', '/object_id'],
  ['a name given twice inside a value', '{"object_id":"x","data":{"k":{"a":1,"a":2}}}', '/data/k/a'],
  ['U+0000', '{"object_id":"x","data":{"k":"\\u0000"}}', '/data/k'],
  ['half a surrogate pair', '{"object_id":"\\udc00","data":{}}', '/object_id'],
  ['a number that cannot be stored', '{"object_id":"x","data":{"k":1e131072}}', '/data/k'],
];

describe('an invalid object', () => {
  it.each(INVALID)('is reported with a pointer, and the others are returned: %s', async (_, invalid, pointer) => {
    const input = await parse(batchOf([invalid, VALID, invalid, VALID]));
    // A second read, as after a lost connection, reports the same errors.
    for (let round = 0; round < 2; round++) {
      expect(idsAt(input)).toEqual(['1:good', '3:good']);
      const { listed, count, objects } = rejectedOf(input);
      expect([pointersOf(listed), count, objects]).toEqual([[`/objects/0${pointer}`, `/objects/2${pointer}`], 2, 2]);
    }
  });

  it('is counted once as a rejected object, and with all of its errors', async () => {
    const { count, objects } = rejectedOf(await parse(batchOf([VALID, '{"data":7,"x":1}', VALID])));
    expect([count, objects]).toEqual([2, 1]);
  });

  it('lists at most 100 errors, and counts all', async () => {
    const input = await parse(batchOf([...Array<string>(150).fill('7'), VALID]));
    expect(idsAt(input)).toEqual(['150:good']);
    const { listed, count, objects } = rejectedOf(input);
    expect([listed.length, count, objects]).toEqual([100, 150, 150]);
  });

  it('is reported together with the errors of the batch', async () => {
    const { listed, objects } = rejectedOf(await parse('{"batch_id":7,"objects":[null],"at":1}'));
    expect(pointersOf(listed).sort()).toEqual(['/at', '/batch_id', '/objects/0']);
    expect(objects).toBe(1);
  });
});

describe('a batch with mode=partial', () => {
  it.each<[string, string, string[]]>([
    ['not an object', '[]', ['']],
    ['objects that are not an array', '{"batch_id":"b","objects":{"0":{}}}', ['/objects']],
    ['missing objects', '{"batch_id":"b"}', ['/objects']],
    ['objects given twice', `{"batch_id":"b","objects":[null],"objects":[${VALID}]}`, ['/objects']],
    ['an invalid id', `{"batch_id":7,"objects":[null,${VALID}]}`, ['/batch_id']],
    ['an unknown member', `{"batch_id":"b","objects":[null,${VALID}],"at":1}`, ['/at']],
    ['an id with U+0000', `{"batch_id":"\\u0000","objects":[${VALID}]}`, ['/batch_id']],
  ])('must be valid except for its objects: %s', async (_, text, pointers) => {
    const problem = await problemOf(async () => chunksOf(await parse(text, true)));
    expect([problem.slug, pointersOf(problem.errors)]).toEqual(['invalid-body', expect.arrayContaining(pointers)]);
  });

  it('is rejected when it is not JSON', async () => {
    expect((await problemOf(() => parse(`${batchOf([VALID])}x`, true))).slug).toBe('malformed-request');
  });

  it.each(INVALID)('is limited to BATCH_OBJECTS_MAX objects: %s', async (_, invalid) => {
    const objects = Array<string>(OBJECTS_MAX).fill('7');
    const problem = await problemOf(async () => chunksOf(await parse(batchOf([invalid, ...objects]), true)));
    expect([problem.slug, problem.message]).toEqual(['too-large', expect.stringContaining('more than 2000 objects')]);
  });
});
