import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { expectProblem, placesOf } from '../errors/expect-problem.js';
import { TestApi, type Reply, type TestProject } from '../harness/api.js';
import { postBatch, type BatchBody, type WholeBatchBody } from '../objects/wire.js';

let api: TestApi;
let project: TestProject;

beforeAll(async () => {
  api = await TestApi.start({ BATCH_OBJECTS_MAX: '2000' });
  project = await api.project();
  await postBatch(api, project.keys.producer, 'elsewhere', [shoe('e1'), shoe('e2')]);
});
afterAll(() => api.stop());

interface PartBody {
  batch_id: string;
  stored: number;
  rejected: number;
  errors: { pointer: string; detail: string }[];
  error_count: number;
}

type Way = 'POST' | 'PUT' | 'lines';
const WAYS: Way[] = ['POST', 'PUT', 'lines'];

/** Sends objects, each as JSON text, with mode=partial. */
function send(way: Way, batchId: string, objects: string[], query = ''): Promise<Reply> {
  const { producer: key } = project.keys;
  const path = `/batches/${encodeURIComponent(batchId)}?mode=partial${query}`;
  const list = `"objects":[${objects.join()}]`;
  if (way === 'PUT') return api.call('PUT', path, { key, body: `{${list}}` });
  if (way === 'POST') {
    const body = `{"batch_id":${JSON.stringify(batchId)},${list}}`;
    return api.call('POST', `/batches?mode=partial${query}`, { key, body });
  }
  const headers = { 'Content-Type': 'application/x-ndjson' };
  return api.call('PUT', path, { key, body: objects.join('\n'), headers });
}

const shoe = (object_id: string, size = 1): object => ({ object_id, data: [{ key: 'size', value: size }] });
const validObject = (id: string, size = 1): string => JSON.stringify(shoe(id, size));
const INVALID = '{"object_id":"bad","data":[{"key":"","value":1}],"at":1}';
/** The pointer to the object at an index, counted from 0. */
const at = (way: Way, index: number, rest = ''): string =>
  way === 'lines' ? `/lines/${String(index + 1)}${rest}` : `/objects/${String(index)}${rest}`;
const idsIn = async (batchId: string): Promise<string[]> =>
  (await api.call('GET', `/batches/${encodeURIComponent(batchId)}`, { key: project.keys.analyst }))
    .json<WholeBatchBody>()
    .objects.map((one) => one.object_id);
const batchExists = async (batchId: string): Promise<boolean> =>
  (await api.db.sql('SELECT FROM batches WHERE batch_id = $1', [batchId])).length > 0;

/** Checks a 207 response: the numbers of stored and rejected objects, and the pointers to the rejected ones. */
/** @param skipped with `on_conflict=skip` */
function expectPart(
  reply: Reply,
  batchId: string,
  stored: number,
  rejected: number,
  pointers: string[],
  skipped?: number,
): void {
  expect([reply.status, reply.text]).toEqual([207, reply.text]);
  const part = reply.json<PartBody>();
  const { errors, ...counts } = part;
  const skips = skipped === undefined ? {} : { skipped };
  expect(counts).toEqual({ batch_id: batchId, stored, ...skips, rejected, error_count: pointers.length });
  expect(errors.map((error) => error.pointer).sort()).toEqual([...pointers].sort());
  for (const { detail } of errors) expect(detail).not.toBe('');
}

describe.each(WAYS)('mode=partial, by %s', (way) => {
  it('returns the usual response if all objects are valid', async () => {
    const id = `good ${way}`;
    const reply = await send(way, id, [validObject(`${id} 1`), validObject(`${id} 2`)]);
    expect([reply.status, reply.headers.get('location')]).toEqual([201, reply.json<BatchBody>().url]);
    expect(reply.json<BatchBody>()).toMatchObject({ batch_id: id, object_count: 2 });
    expect(await idsIn(id)).toEqual([`${id} 1`, `${id} 2`]);
    expect((await send(way, `none ${way}`, [])).status).toBe(201);
  });

  it.each([
    ['schema errors', INVALID, ['/at', '/data/0/key']],
    ['text that PostgreSQL cannot store', '{"object_id":"bad","data":{"k":"\\u0000"}}', ['/data/k']],
    ['a repeated member', '{"object_id":"bad","object_id":"bad","data":{}}', ['/object_id']],
    ['a repeated name in a nested value', '{"object_id":"bad","data":{"k":{"a":1,"a":2}}}', ['/data/k/a']],
    ['null', 'null', ['']],
  ])('stores the valid objects in order, and reports the errors of the others: %s', async (name, wrong, rests) => {
    const id = `${name} ${way}`;
    const reply = await send(way, id, [
      validObject(`${id} 1`),
      wrong,
      validObject(`${id} 3`),
      wrong,
      validObject(`${id} 5`),
    ]);
    expectPart(
      reply,
      id,
      3,
      2,
      [1, 3].flatMap((index) => rests.map((rest) => at(way, index, rest))),
    );
    const { url } = (
      await api.call('GET', `/batches?batch_id=${encodeURIComponent(id)}`, { key: project.keys.analyst })
    ).json<{
      results: [BatchBody];
    }>().results[0];
    expect(reply.headers.get('location')).toBe(url);
    expect(await idsIn(id)).toEqual([`${id} 1`, `${id} 3`, `${id} 5`]);
  });

  it.each([2, 400])('rejects existing and repeated ids, and stores the other %d objects', async (count) => {
    const id = `taken ${way} ${String(count)}`;
    const own = Array.from({ length: count }, (_, i) => `${id} ${String(i)}`);
    const ids = [...own, 'e2', own[0] ?? '', 'e1', 'e1'];
    const places = [0, 1, 2, 3].map((i) => at(way, count + i, '/object_id'));
    const objects = [...ids.map((one) => validObject(one)), INVALID];
    const wrong = ['/at', '/data/0/key'].map((rest) => at(way, ids.length, rest));
    expectPart(await send(way, id, objects), id, count, 5, [...places, ...wrong]);
    expect(await idsIn(id)).toEqual(own);
    expect(await idsIn('elsewhere')).toEqual(['e1', 'e2']);
  });

  it('returns a problem and stores nothing if no object is valid', async () => {
    const id = `bad ${way}`;
    for (const objects of [[INVALID], [INVALID, validObject('e1')], [validObject('e2')]]) {
      const problem = expectProblem(await send(way, id, objects), 'invalid-body');
      expect(problem.errors?.length).toBe(problem.error_count);
      expect(placesOf(problem)).toContain(
        at(way, objects.length - 1, objects.length === 1 && objects[0] === INVALID ? '/at' : '/object_id'),
      );
    }
    expect(await batchExists(id)).toBe(false);
  });

  it('lists 100 errors, and counts all errors and all rejected objects', async () => {
    const id = `many ${way}`;
    const twice = Array<string>(80).fill(validObject('e1'));
    const reply = await send(way, id, [...Array<string>(60).fill(INVALID), validObject(id), ...twice]);
    const part = reply.json<PartBody>();
    expect([reply.status, part.stored, part.rejected, part.errors.length, part.error_count]).toEqual([
      207, 1, 140, 100, 200,
    ]);
    const ids = await send(way, `${id} 2`, [validObject(`${id} 2`), ...Array<string>(300).fill(validObject('e1'))]);
    const { stored, rejected, errors, error_count } = ids.json<PartBody>();
    expect([ids.status, stored, rejected, errors.length, error_count]).toEqual([207, 1, 300, 100, 300]);
  });
});

describe.each(['PUT', 'lines'] as const)('mode=partial for an existing batch, by %s', (way) => {
  it('returns the same response to a repeated request', async () => {
    const id = `again ${way}`;
    const objects = [
      validObject(`${id} 1`),
      INVALID,
      validObject(`${id} 1`),
      validObject('e1'),
      validObject(`${id} 5`),
    ];
    const first = await send(way, id, objects);
    const second = await send(way, id, objects);
    expect([second.status, second.text]).toEqual([207, first.text]);
    expect(second.headers.get('location')).toBeNull();
    expect((await send(way, id, [validObject(`${id} 1`), validObject(`${id} 5`)])).status).toBe(200);
    expectProblem(await send(way, id, [validObject(`${id} 1`), INVALID]), 'conflict');
    expect(await idsIn(id)).toEqual([`${id} 1`, `${id} 5`]);
  });

  it('skips the valid objects of a repeated request with on_conflict=skip', async () => {
    const id = `skipped ${way}`;
    const objects = [validObject(`${id} 1`), INVALID];
    const errors = [at(way, 1, '/at'), at(way, 1, '/data/0/key')];
    expectPart(await send(way, id, objects, '&on_conflict=skip'), id, 1, 1, errors, 0);
    expectPart(await send(way, id, objects, '&on_conflict=skip'), id, 0, 1, errors, 1);
    expect(await idsIn(id)).toEqual([`${id} 1`]);
  });

  it('replaces a batch with the valid objects, or adds them to it', async () => {
    const id = `changed ${way}`;
    await send(way, id, [validObject(`${id} 1`), validObject(`${id} 2`)]);
    const more = [
      INVALID,
      validObject(`${id} 2`, 9),
      validObject(`${id} 3`),
      validObject(`${id} 3`),
      validObject('e1'),
    ];
    const added = await send(way, id, more, '&on_conflict=skip');
    // Existing objects stay in their batches and are not errors.
    expectPart(added, id, 1, 2, [at(way, 0, '/at'), at(way, 0, '/data/0/key'), at(way, 3, '/object_id')], 2);
    expect(await idsIn(id)).toEqual([`${id} 1`, `${id} 2`, `${id} 3`]);
    const replaced = await send(way, id, more, '&on_conflict=replace');
    const taken = [at(way, 3, '/object_id'), at(way, 4, '/object_id')];
    expectPart(replaced, id, 2, 3, [at(way, 0, '/at'), at(way, 0, '/data/0/key'), ...taken]);
    expect(await idsIn(id)).toEqual([`${id} 2`, `${id} 3`]);
    for (const query of ['&on_conflict=skip', '&on_conflict=replace', '']) {
      expectProblem(await send(way, id, [INVALID], query), query === '' ? 'conflict' : 'invalid-body');
    }
    expect(await idsIn(id)).toEqual([`${id} 2`, `${id} 3`]);
  });
});

describe('mode=partial with an error that does not belong to one object', () => {
  it('rejects the batch if it exists, is too large, is malformed or has an invalid member', async () => {
    const { producer: key } = project.keys;
    const exists = expectProblem(
      await send('POST', 'elsewhere', [INVALID, validObject('e1'), validObject('new')]),
      'conflict',
    );
    expect(placesOf(exists)).toEqual(['/batch_id', '/objects/1/object_id']);
    for (const way of ['POST', 'PUT'] as const) {
      expectProblem(
        await send(way, 'whole', [...Array<string>(2_000).fill('{"object_id":"\\u0000","data":[]}'), validObject('w')]),
        'too-large',
      );
      expectProblem(await send(way, 'whole', [validObject('w'), '{']), 'malformed-request');
      expectProblem(await send(way, 'whole', [validObject('w')], '&mode=partial'), 'invalid-query');
    }
    const bodies = [
      `{"objects":[${INVALID},${validObject('w')}],"at":1}`,
      `{"batch_id":"other","objects":[${INVALID},${validObject('w')}]}`,
    ];
    for (const body of [...bodies, '{"objects":{}}', '[]']) {
      expectProblem(await api.call('PUT', '/batches/whole?mode=partial', { key, body }), 'invalid-body');
    }
    expect(await batchExists('whole')).toBe(false);
    expect(await idsIn('elsewhere')).toEqual(['e1', 'e2']);
  });

  it('rejects a stream with more than BATCH_OBJECTS_MAX invalid lines, without validating the rest', async () => {
    const few = [validObject('f'), ...Array<string>(2_000).fill('x')];
    expect((await send('lines', 'few', few)).json()).toMatchObject({ stored: 1, rejected: 2_000 });
    const many = expectProblem(
      await send('lines', 'many', [validObject('m'), ...Array<string>(9_000).fill('x')]),
      'invalid-body',
    );
    expect([many.errors?.length, many.error_count_is]).toEqual([100, 'at_least']);
    expect(many.error_count).toBeLessThan(3_000);
    expect(await batchExists('many')).toBe(false);
  });
});
