import { Config } from '#platform';
import { JsonBody, Problem } from '#http';
import { beforeAll, describe, expect, it } from '@jest/globals';
import { CreateBatchDto } from './batch.dto.js';
import type { BatchSource, CheckedObject } from './batch-source.js';
import { Ingest } from './ingest.js';
import { ObjectBodies } from '#objects';

const LIMIT = 100_000;
const OBJECTS_MAX = 2_000;

let ingest: Ingest;

beforeAll(() => {
  const settings = { DATABASE_URL: 'postgresql://none', STOWAGE_KEY_SECRET: 'x'.repeat(32) };
  const limits = { BODY_LIMIT_BYTES: String(LIMIT), BATCH_OBJECTS_MAX: String(OBJECTS_MAX) };
  ingest = new Ingest(new ObjectBodies(), new Config({ ...settings, ...limits }));
});

const read = (text: string, partial = false): BatchSource =>
  ingest.readBatch(CreateBatchDto, new JsonBody(Buffer.from(text), LIMIT), partial).source;
const batchOf = (objects: string[], s = ''): string =>
  `{"objects"${s}:${s}[${s}${objects.join(`${s},${s}`)}${s}],"batch_id":"b"}`;
const chunksOf = (source: BatchSource): CheckedObject[][] => [...(source.chunks() as Iterable<CheckedObject[]>)];
const idsAt = (source: BatchSource): string[] =>
  chunksOf(source)
    .flat()
    .map((one) => `${String(one.place)}:${one.objectId}`);
const pointersOf = ({ errors }: Pick<Problem, 'errors'>): (string | undefined)[] =>
  errors.map((error) => ('pointer' in error ? error.pointer : undefined));

function problemOf(work: () => unknown): Problem {
  try {
    work();
  } catch (error) {
    if (error instanceof Problem) return error;
    throw error;
  }
  throw new Error('no problem');
}

const GOOD = '{"object_id":"good","data":{"n":1}}';

describe('the objects of a JSON body', () => {
  it('are what was sent, their data to the letter and their places from 0', () => {
    const first =
      '{"data":[ {"value":0.1000,"key":"\\u006b"} ],"object_id":"a","subject":"s","observed_at":"2024-05-01T00:00:00Z"}';
    const second = '{"object_id" : "b" , "d\\u0061ta" : {"k":1e400,"\\u006b":[1].length}}'.replace(
      '[1].length',
      '"}],{"',
    );
    for (const s of ['', ' ', '\r\n\t']) {
      expect(chunksOf(read(batchOf([first, second], s)))).toEqual([
        [
          {
            place: 0,
            objectId: 'a',
            subject: 's',
            observedAt: '2024-05-01T00:00:00Z',
            data: '[ {"value":0.1000,"key":"\\u006b"} ]',
          },
          {
            place: 1,
            objectId: 'b',
            subject: null,
            observedAt: null,
            data: '[{"key":"k","value":1e400},{"key":"\\u006b","value":"}],{"}]',
          },
        ],
      ]);
    }
  });

  it('come some at a time, in their order, and again when they are read again', () => {
    const ids = Array.from({ length: 1_234 }, (_, i) => String(i));
    const source = read(batchOf(ids.map((id) => `{"object_id":"${id}","data":[]}`)));
    for (let round = 0; round < 2; round++) {
      expect(Math.max(...chunksOf(source).map((chunk) => chunk.length))).toBeLessThanOrEqual(1_000);
      expect(idsAt(source)).toEqual(ids.map((id) => `${id}:${id}`));
    }
    expect(source.pointerOf(7)).toBe('/objects/7');
  });

  it('may be none', () => {
    for (const partial of [false, true]) expect(chunksOf(read(batchOf([], ' '), partial))).toEqual([]);
  });
});

/** Objects that are bad each in a way of its own, and the place of the mistake below the object. */
const BAD: [string, string, string][] = [
  ['null', 'null', ''],
  ['a list', '[{}]', ''],
  ['no id', '{"data":[]}', '/object_id'],
  ['an unknown member', '{"object_id":"x","data":[],"batch_id":"b"}', '/batch_id'],
  ['a bad pair', '{"object_id":"x","data":[{"key":"k","value":[]}]}', '/data/0/value'],
  ['a name given twice', '{"object_id":"x","object_id":"y","data":[]}', '/object_id'],
  ['a nested value of a key given twice', '{"object_id":"x","data":{"k":[],"k":1}}', '/data/k'],
  ['U+0000', '{"object_id":"x","data":{"k":"\\u0000"}}', '/data/k'],
  ['half a surrogate pair', '{"object_id":"\\udc00","data":{}}', '/object_id'],
  ['a number that cannot be stored', '{"object_id":"x","data":{"k":1e131072}}', '/data/k'],
];

describe('an object that is bad', () => {
  it.each(BAD)('is refused with its place: %s', (_, bad, pointer) => {
    const problem = problemOf(() => chunksOf(read(batchOf([GOOD, bad]))));
    expect([problem.slug, pointersOf(problem)]).toEqual(['invalid-body', [`/objects/1${pointer}`]]);
  });

  it.each(BAD)('is left out of a part, and its place is told: %s', (_, bad, pointer) => {
    const source = read(batchOf([bad, GOOD, bad, GOOD]), true);
    expect(idsAt(source)).toEqual(['1:good', '3:good']);
    expect(pointersOf(source.rejected)).toEqual([`/objects/0${pointer}`, `/objects/2${pointer}`]);
    expect([source.rejected.objects, source.rejected.errorCount]).toEqual([2, 2]);
    // Read again, as after a lost connection, it says the same and not twice as much.
    expect(idsAt(source)).toEqual(['1:good', '3:good']);
    expect([source.rejected.objects, source.rejected.errors.length]).toEqual([2, 2]);
  });

  it('is counted with all of its mistakes, and once as an object', () => {
    const source = read(batchOf([GOOD, '{"data":7,"x":1}', GOOD]), true);
    expect(idsAt(source)).toEqual(['0:good', '2:good']);
    expect([source.rejected.objects, source.rejected.errorCount]).toEqual([1, 3]);
  });

  it('is told for a hundred mistakes, and counted beyond', () => {
    const source = read(batchOf([...Array<string>(150).fill('7'), GOOD]), true);
    expect(idsAt(source)).toEqual(['150:good']);
    const { errors, errorCount, objects } = source.rejected;
    expect([errors.length, errorCount, objects]).toEqual([100, 150, 150]);
  });
});

describe('a batch that is stored in part', () => {
  it.each<[string, string, string[]]>([
    ['no object', '[]', ['']],
    ['no list of objects', '{"batch_id":"b","objects":{"0":{}}}', ['/objects']],
    ['objects that are missing', '{"batch_id":"b"}', ['/objects']],
    ['two lists of objects', `{"batch_id":"b","objects":[null],"objects":[${GOOD}]}`, ['/objects']],
    ['a bad id', `{"batch_id":7,"objects":[null,${GOOD}]}`, ['/batch_id']],
    ['an unknown member', `{"batch_id":"b","objects":[null,${GOOD}],"at":1}`, ['/at']],
    ['an id with U+0000', `{"batch_id":"\\u0000","objects":[${GOOD}]}`, ['/batch_id']],
  ])('has to be right itself: %s', (_, text, pointers) => {
    const problem = problemOf(() => chunksOf(read(text, true)));
    expect([problem.slug, pointersOf(problem)]).toEqual(['invalid-body', expect.arrayContaining(pointers)]);
  });

  it('is refused when it is no JSON', () => {
    expect(problemOf(() => read(`${batchOf([GOOD])}x`, true)).slug).toBe('malformed-request');
  });

  it.each(BAD)('has no more objects than any other: %s', (_, bad) => {
    const objects = Array<string>(OBJECTS_MAX).fill('7');
    const problem = problemOf(() => chunksOf(read(batchOf([bad, ...objects]), true)));
    expect([problem.slug, problem.message]).toEqual(['too-large', expect.stringContaining('2001 objects')]);
  });
});
