import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { TestApi, type Reply, type TestProject } from '../harness/api.js';
import {
  kindOf,
  places,
  postBatch,
  type BatchBody,
  type PageBody,
  type ProblemBody,
  type WholeBatchBody,
} from '../objects/wire.js';

let api: TestApi;
let project: TestProject;

beforeAll(async () => {
  api = await TestApi.shared();
  project = await api.project();
});
afterAll(() => api.stop());

const post = (body: unknown, headers = {}): Promise<Reply> =>
  api.call('POST', '/batches', { key: project.keys.producer, body, headers });
const read = (batchId: string): Promise<Reply> =>
  api.call('GET', `/batches/${encodeURIComponent(batchId)}`, { key: project.keys.analyst });
const shoe = (objectId: string): object => ({ object_id: objectId, data: [{ key: 'type', value: 'shoe' }] });

async function rowsOf(batchId: string): Promise<number> {
  const [row] = await api.db.sql<{ count: string }>(
    `SELECT (SELECT count(*) FROM objects WHERE project_id = $1 AND batch_id = $2)
       + (SELECT count(*) FROM batches WHERE project_id = $1 AND batch_id = $2) AS count`,
    [project.projectId, batchId],
  );
  return Number(row?.count);
}

describe('POST /batches', () => {
  it('stores a batch and returns its URL in Location', async () => {
    const body = { batch_id: 'b1', objects: [{ object_id: 'o1', data: [{ key: 'type', value: 'shoe' }] }] };
    const reply = await post(body);
    expect(reply.status).toBe(201);
    const get = await api.call('GET', reply.headers.get('location') ?? '', { key: project.keys.analyst });
    expect(get.json()).toEqual(body);
  });

  it('returns the count, the time and working URLs', async () => {
    const before = Date.now();
    const reply = await post({ batch_id: 'büch/ 1&2', objects: [shoe('ü1'), shoe('ü2'), shoe('ü3')] });
    const batch = reply.json<BatchBody>();
    expect(Object.keys(batch).sort()).toEqual(['batch_id', 'created_at', 'object_count', 'objects_url', 'url']);
    expect(batch).toMatchObject({ batch_id: 'büch/ 1&2', object_count: 3, url: reply.headers.get('location') });
    expect(batch.created_at).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
    expect(Math.abs(Date.parse(batch.created_at) - before)).toBeLessThan(60_000);
    const whole = await api.call('GET', batch.url, { key: project.keys.analyst });
    expect(whole.json<WholeBatchBody>().batch_id).toBe('büch/ 1&2');
    const objects = await api.call('GET', batch.objects_url, { key: project.keys.analyst });
    expect(objects.json<PageBody<{ object_id: string }>>().results.map((one) => one.object_id)).toEqual([
      'ü3',
      'ü2',
      'ü1',
    ]);
  });

  it('keeps the order of the objects, independent of their ids', async () => {
    const ids = Array.from({ length: 300 }, (_, i) => `order-${String((i * 7919) % 300)}`);
    await postBatch(api, project.keys.producer, 'order', ids.map(shoe));
    expect((await read('order')).json<WholeBatchBody>().objects.map((one) => one.object_id)).toEqual(ids);
  });

  it('stores a batch without objects', async () => {
    const reply = await post({ batch_id: 'empty', objects: [] });
    expect(reply.status).toBe(201);
    expect(reply.json<BatchBody>().object_count).toBe(0);
    expect((await read('empty')).json()).toEqual({ batch_id: 'empty', objects: [] });
  });

  it.each(['return=representation', 'respond-sync, return=representation', 'Return="representation"; x=1'])(
    'returns the complete batch with Prefer: %s',
    async (prefer) => {
      const body = { batch_id: `whole ${prefer}`, objects: [shoe(`1 ${prefer}`), shoe(`2 ${prefer}`)] };
      const reply = await post(body, { Prefer: prefer });
      expect(reply.status).toBe(201);
      expect(reply.headers.get('preference-applied')).toBe('return=representation');
      expect(reply.json()).toEqual(body);
      const get = await api.call('GET', reply.headers.get('location') ?? '', { key: project.keys.analyst });
      expect(get.json()).toEqual(body);
    },
  );

  it('ignores other preferences', async () => {
    const reply = await post({ batch_id: 'minimal', objects: [] }, { Prefer: 'return=minimal' });
    expect(reply.headers.get('preference-applied')).toBeNull();
    expect(reply.json<BatchBody>().object_count).toBe(0);
  });

  it('counts the length of ids in characters, not in bytes or UTF-16 units', async () => {
    const id = '👢'.repeat(255);
    expect((await post({ batch_id: id, objects: [shoe(id)] })).status).toBe(201);
    expect((await read(id)).json<WholeBatchBody>().objects[0]?.object_id).toBe(id);
    const tooLong = await post({ batch_id: `${id}x`, objects: [shoe(`${id}x`)] });
    expect(places(tooLong).sort()).toEqual(['/batch_id', '/objects/0/object_id']);
  });

  it('compares ids byte by byte', async () => {
    const ids = ['shoe', 'Shoe', 'shoe ', 'sho\u00e9', 'shoe\u0301'];
    const reply = await post({ batch_id: 'bytes', objects: ids.map(shoe) });
    expect(reply.json<BatchBody>().object_count).toBe(5);
  });
});

describe('POST /batches with ids that exist', () => {
  it('reports each id that appears twice in the request, with its pointer, and stores nothing', async () => {
    const objects = ['t0', 't1', 't0', 't2', 't1', 't0'].map(shoe);
    const reply = await post({ batch_id: 'twice', objects });
    expect(kindOf(reply)).toBe('409 conflict');
    const { detail, errors, error_count } = reply.json<ProblemBody>();
    expect(detail).toBe('3 of the ids sent appear twice in this request; nothing was stored.');
    expect(errors?.map((error) => error.pointer)).toEqual([
      '/objects/2/object_id',
      '/objects/4/object_id',
      '/objects/5/object_id',
    ]);
    const details = ['t0', 't1', 't0'].map((id) => `"${id}" appears twice in this request`);
    expect(errors?.map((error) => error.detail)).toEqual(details);
    expect(error_count).toBe(3);
    expect(await rowsOf('twice')).toBe(0);
  });

  it('reports each id that exists in the project, with its pointer, and stores nothing', async () => {
    await postBatch(api, project.keys.producer, 'first', ['p1', 'p2', 'p3'].map(shoe));
    const reply = await post({ batch_id: 'second', objects: ['p0', 'p3', 'p4', 'p1'].map(shoe) });
    expect(kindOf(reply)).toBe('409 conflict');
    const { errors } = reply.json<ProblemBody>();
    expect(errors?.map((error) => error.pointer)).toEqual(['/objects/1/object_id', '/objects/3/object_id']);
    expect(errors?.map((error) => error.detail.split(' ')[0])).toEqual(['"p3"', '"p1"']);
    expect(await rowsOf('second')).toBe(0);
    const free = await api.call('GET', '/objects/p0', { key: project.keys.analyst });
    expect(free.status).toBe(404);
  });

  it('reports the existing batch id together with the object ids', async () => {
    await postBatch(api, project.keys.producer, 'again', ['a1', 'a2'].map(shoe));
    const whole = await read('again');
    const reply = await post({ batch_id: 'again', objects: ['a2', 'a9'].map(shoe) });
    expect(kindOf(reply)).toBe('409 conflict');
    expect(places(reply)).toEqual(['/batch_id', '/objects/0/object_id']);
    expect(reply.json<ProblemBody>().errors?.[0]?.detail).toContain('"again"');
    const same = await read('again');
    expect([same.text, same.headers.get('etag')]).toEqual([whole.text, whole.headers.get('etag')]);
    expect(places(await post({ batch_id: 'again', objects: [] }))).toEqual(['/batch_id']);
  });

  it('lists 100 conflicts and counts all of them', async () => {
    const ids = Array.from({ length: 250 }, (_, i) => `many-${String(i)}`);
    await postBatch(api, project.keys.producer, 'many', ids.map(shoe));
    const { errors, error_count } = (
      await post({ batch_id: 'many again', objects: ids.map(shoe) })
    ).json<ProblemBody>();
    expect([errors?.length, error_count]).toEqual([100, 250]);
  });

  it('accepts ids of another project', async () => {
    const other = await api.project();
    const body = { batch_id: 'shared', objects: [shoe('shared-1')] };
    expect((await post(body)).status).toBe(201);
    const reply = await api.call('POST', '/batches', { key: other.keys.producer, body });
    expect(reply.status).toBe(201);
  });
});

describe('POST /batches with an invalid body', () => {
  const object = { object_id: 'x', data: [{ key: 'k', value: 1 }] };
  const deep: unknown = JSON.parse(`${'['.repeat(17)}${']'.repeat(17)}`);
  it.each<[string, unknown, string[]]>([
    ['an array', [], ['']],
    ['an empty object', {}, ['/batch_id', '/objects']],
    ['a numeric id', { batch_id: 7, objects: [] }, ['/batch_id']],
    ['an empty id', { batch_id: '', objects: [] }, ['/batch_id']],
    ['an id with a control character', { batch_id: 'a\nb', objects: [] }, ['/batch_id']],
    ['an id with a C1 control character', { batch_id: 'a\u0085b', objects: [] }, ['/batch_id']],
    ['the id .', { batch_id: '.', objects: [] }, ['/batch_id']],
    ['the object id ..', { batch_id: 'x', objects: [{ ...object, object_id: '..' }] }, ['/objects/0/object_id']],
    ['objects that are not an array', { batch_id: 'x', objects: { 0: object } }, ['/objects']],
    ['null objects', { batch_id: 'x', objects: null }, ['/objects']],
    ['a null object', { batch_id: 'x', objects: [object, null] }, ['/objects/1']],
    ['an unknown member', { batch_id: 'x', objects: [], 'no/te~': 1 }, ['/no~1te~0']],
    ['an unknown member of an object', { batch_id: 'x', objects: [{ ...object, at: 1 }] }, ['/objects/0/at']],
    ['an unknown member of a pair', withData([{ key: 'k', value: 1, type: 1 }]), ['/objects/0/data/0/type']],
    ['an object without data', { batch_id: 'x', objects: [{ object_id: 'x' }] }, ['/objects/0/data']],
    ['null data', withData(null), ['/objects/0/data']],
    ['data that is a string', withData('k=v'), ['/objects/0/data']],
    ['a pair that is not an object', withData(['k']), ['/objects/0/data/0']],
    ['a pair without a value', withData([{ key: 'k' }]), ['/objects/0/data/0/value']],
    ['a pair without a key', withData([{ value: 1 }]), ['/objects/0/data/0/key']],
    ['an empty key', withData([{ key: '', value: 1 }]), ['/objects/0/data/0/key']],
    ['a key of 256 characters', withData([{ key: 'k'.repeat(256), value: 1 }]), ['/objects/0/data/0/key']],
    ['a value nested 17 deep', withData([object.data[0], { key: 'k', value: deep }]), ['/objects/0/data/1/value']],
    ['a shorthand value nested 17 deep', withData({ a: 1, 'b/c': deep }), ['/objects/0/data/b~1c']],
    ['a numeric subject', { batch_id: 'x', objects: [{ ...object, subject: 1 }] }, ['/objects/0/subject']],
    ['an invalid time', { batch_id: 'x', objects: [{ ...object, observed_at: 'today' }] }, ['/objects/0/observed_at']],
  ])('is rejected with a pointer: %s', async (_, body, pointers) => {
    const reply = await post(body);
    expect(kindOf(reply)).toBe('400 invalid-body');
    expect(places(reply)).toEqual(pointers);
  });

  function withData(data: unknown): unknown {
    return { batch_id: 'x', objects: [{ object_id: 'x', data }] };
  }

  it('is rejected if the data shorthand has an empty key', async () => {
    const reply = await post(withData({ '': 1 }));
    expect(kindOf(reply)).toBe('400 invalid-body');
    expect(places(reply)[0]).toMatch(/^\/objects\/0\/data/);
  });

  it.each<[string, string, string[]]>([
    ['U+0000', '[{"key":"k","value":"a\\u0000"}]', ['/objects/0/data/0/value']],
    ['U+0000 in a key', '[{"key":"\\u0000","value":1}]', ['/objects/0/data/0/key']],
    ['a lone surrogate', '[{"key":"k","value":"\\ud83d!"}]', ['/objects/0/data/0/value']],
    ['a reversed surrogate pair', '[{"key":"k","value":"\\udc62\\ud83d"}]', ['/objects/0/data/0/value']],
    ['a number that is too large', '[{"key":"k","value":1e131072}]', ['/objects/0/data/0/value']],
    ['a number with too many decimals', '[{"key":"k","value":1e-16384}]', ['/objects/0/data/0/value']],
    ['a number with a huge exponent', '{"a":1E+999999999999}', ['/objects/0/data/a']],
    ['a repeated member', '[{"key":"k","value":1,"value":2}]', ['/objects/0/data/0/value']],
    [
      'two errors at once',
      '[{"key":"k","value":1e-16384},{"key":"\\udead","value":1}]',
      ['/objects/0/data/0/value', '/objects/0/data/1/key'],
    ],
  ])('is rejected with a pointer if PostgreSQL cannot store it: %s', async (_, data, pointers) => {
    const reply = await post(`{"batch_id":"x","objects":[{"object_id":"x","data":${data}}]}`);
    expect(kindOf(reply)).toBe('400 invalid-body');
    expect(places(reply)).toEqual(pointers);
  });

  it('is rejected with line and column if it is not JSON', async () => {
    const reply = await post('{"batch_id":"x",\n  objects:[]}');
    expect(kindOf(reply)).toBe('400 malformed-request');
    expect(reply.json<ProblemBody>().detail).toContain('line 2, column 3');
  });

  it('is rejected if it is not UTF-8', async () => {
    const text = Buffer.from('{"batch_id":"x?","objects":[]}');
    text[text.indexOf('?')] = 0xff;
    expect(kindOf(await post(text))).toBe('400 malformed-request');
  });

  it('is rejected if a member name is repeated outside the data shorthand', async () => {
    expect(places(await post('{"batch_id":"x","batch_id":"y","objects":[]}'))).toEqual(['/batch_id']);
    expect(places(await post('{"batch_id":"x","objects":[{"object_id":"x","data":{},"data":{}}]}'))).toEqual([
      '/objects/0/data',
    ]);
  });

  it('is rejected if a member name is repeated inside a value', async () => {
    const reply = await post('{"batch_id":"x","objects":[{"object_id":"x","data":{"k":{"a":1,"a":2}}}]}');
    expect(kindOf(reply)).toBe('400 invalid-body');
    expect(places(reply)).toEqual(['/objects/0/data/k/a']);
  });

  it('stores nothing', async () => {
    expect(await rowsOf('x')).toBe(0);
  });
});

describe('the limits of POST /batches', () => {
  const ids = Array.from({ length: 100_000 }, (_, i) => `big-${i.toString(36)}`);
  const bodyOf = (objectIds: string[]): string =>
    `{"batch_id":"big","objects":[${objectIds.map((id) => `{"object_id":"${id}","data":[{"key":"n","value":1.10}]}`).join()}]}`;

  it('reject more than BATCH_OBJECTS_MAX objects, and name the limit', async () => {
    const reply = await post(bodyOf([...ids, 'one more']));
    expect(kindOf(reply)).toBe('413 too-large');
    expect(reply.json<ProblemBody>().detail).toMatch(
      /more than 100000 objects.*BATCH_OBJECTS_MAX, see \/api\/v1\/limits/,
    );
    expect(await rowsOf('big')).toBe(0);
  });

  it('allow a batch of 100,000 objects', async () => {
    const reply = await post(bodyOf(ids));
    expect(reply.json<BatchBody>().object_count).toBe(100_000);
    const whole = await read('big');
    expect(whole.text.match(/1\.10/g)).toHaveLength(100_000);
    expect(whole.json<WholeBatchBody>().objects.map((one) => one.object_id)).toEqual(ids);
  });

  it('count numbers with an exponent at their expanded length', async () => {
    const small = await TestApi.start({ BODY_LIMIT_BYTES: '10000' });
    try {
      const { keys } = await small.project();
      const body = (value: string): string => `{"batch_id":"x","objects":[{"object_id":"x","data":{"k":${value}}}]}`;
      const reply = await small.call('POST', '/batches', { key: keys.producer, body: body('1e100000') });
      expect(kindOf(reply)).toBe('413 too-large');
      expect(reply.json<ProblemBody>().detail).toContain('BODY_LIMIT_BYTES');
      const whole = await small.call('POST', '/batches', { key: keys.producer, body: body(`"${'x'.repeat(10_000)}"`) });
      expect(kindOf(whole)).toBe('413 too-large');
      const fits = await small.call('POST', '/batches', { key: keys.producer, body: body('1e9000') });
      expect(fits.status).toBe(201);
    } finally {
      await small.stop();
    }
  });
});
