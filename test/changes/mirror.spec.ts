import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { TestApi, type TestProject } from '../harness/api.js';
import { readExport } from '../export/export-client.js';
import { wholeLines } from '../export/export-client.js';
import { Mirror, readChanges } from './change-client.js';

/** Two servers on one database, whose readers collect the same changes. */
let servers: TestApi[];
let project: TestProject;

const WRITERS = 6;
const WRITES = 60;
/** Few ids, so that writers create, delete and create the same objects in several batches. */
const IDS = 40;
const BATCHES = 6;
const MATCHING = `data=${encodeURIComponent('{"n":{"$lt":500}}')}`;

/** A small generator with a seed, which the failure names. */
function randomOf(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

type Write = [method: string, path: string, body?: unknown, headers?: Record<string, string>];

/** Writes of every kind. Many of them fail, because others have the ids. */
function anyWrite(random: (below: number) => number): Write {
  const id = (): string => `o${String(random(IDS))}`;
  const batch = (): string => `b${String(random(BATCHES))}`;
  const data = (): object => ({ n: random(1_000), ...(random(4) === 0 ? { text: 'x'.repeat(random(500)) } : {}) });
  const objects = (count: number): object[] =>
    [...new Set(Array.from({ length: count }, id))].map((object_id) => ({ object_id, data: data() }));
  const lines = (count: number): string =>
    objects(count)
      .map((one) => `${JSON.stringify(one)}\n`)
      .join('');
  const kinds: (() => Write)[] = [
    () => ['POST', '/batches', { batch_id: batch(), objects: objects(1 + random(5)) }],
    () => ['PUT', `/batches/${batch()}?on_conflict=replace`, { objects: objects(random(8)) }],
    () => ['PUT', `/batches/${batch()}?on_conflict=skip`, lines(8), { 'Content-Type': 'application/x-ndjson' }],
    () => ['PUT', `/batches/${batch()}?mode=partial`, { objects: objects(8) }],
    () => ['POST', '/objects', { batch_id: batch(), object_id: id(), data: data() }],
    () => ['PUT', `/objects/${id()}`, { data: data(), batch_id: batch() }],
    () => [
      'PATCH',
      `/objects/${id()}`,
      { data: { n: random(1_000) } },
      { 'Content-Type': 'application/merge-patch+json' },
    ],
    () => ['DELETE', `/objects/${id()}`],
    () => ['DELETE', `/objects?data=${encodeURIComponent(`{"n":{"$lt":${String(random(300))}}}`)}&max_affected=100`],
    () => ['DELETE', `/batches/${batch()}?cascade=true`],
    () => [
      'POST',
      '/batches',
      { batch_id: `l${String(random(BATCHES))}`, objects: objects(30).concat(manyObjects(random)) },
    ],
    () => ['DELETE', `/batches/l${String(random(BATCHES))}?cascade=true`],
    () => [
      'POST',
      `/buildings/1/rooms/${String(random(2))}/temperatures`,
      Array.from({ length: 3 }, () => ({
        temperature: random(30),
        recorded_at: `2024-12-10T16:${String(10 + random(9))}:00`,
      })),
    ],
    () => ['POST', '/sprockets', { teeth: 1 + random(9), pitch_diameter: 5, outside_diameter: 6, pitch: 1 }],
  ];
  return (kinds[random(kinds.length)] ?? kinds[0] ?? failing)();
}

/** One write of each kind that must succeed: no other writer uses its ids, and no deletion by a filter has its numbers. */
function ownWrites(writer: number): Write[] {
  const own = `own-${String(writer)}`;
  const data = { n: 999 };
  return [
    ['POST', '/batches', { batch_id: own, objects: [{ object_id: `${own}-1`, data }] }],
    ['PUT', `/batches/${own}?on_conflict=replace`, { objects: [{ object_id: `${own}-2`, data }] }],
    ['POST', '/objects', { batch_id: own, object_id: `${own}-3`, data }],
    ['PATCH', `/objects/${own}-3`, { data: { n: 998 } }, { 'Content-Type': 'application/merge-patch+json' }],
    ['DELETE', `/objects/${own}-2`],
    ['DELETE', `/batches/${own}?cascade=true`],
  ];
}

function failing(): never {
  throw new Error('no kinds of writes');
}

/** More than one statement inserts at a time. */
function manyObjects(random: (below: number) => number): object[] {
  const prefix = `m${String(random(3))}-`;
  return Array.from({ length: 250 }, (_, i) => ({ object_id: prefix + String(i), data: { n: i * 4 } }));
}

/** Follows the changes until `end`, and then to the last one. */
async function follow(mirror: Mirror, since: string, end: AbortSignal, query: string, server: TestApi): Promise<void> {
  for (;;) {
    const hadEnded = end.aborted;
    const page = await readChanges(server, project.keys.analyst, since, query);
    mirror.apply(page.results);
    since = page.next;
    if (hadEnded && !page.has_more) return;
  }
}

async function exported(query: string): Promise<Map<string, string>> {
  const [server] = servers;
  if (server === undefined) throw new Error('no server');
  const lines = wholeLines(await readExport(server, project.keys.analyst, `?${query}`));
  return new Map(
    lines.map((line) => {
      const object = JSON.parse(line) as { object_id: string };
      return [object.object_id, JSON.stringify(object)];
    }),
  );
}

beforeAll(async () => {
  const first = await TestApi.start();
  servers = [first, await first.another()];
  project = await first.project();
});
afterAll(async () => {
  for (const server of servers.toReversed()) await server.stop();
});

describe('copies that are kept by the changes', () => {
  it('are equal to the objects after concurrent writes of every kind, with and without a filter', async () => {
    const [first, second] = servers as [TestApi, TestApi];
    const seed = Date.now() % 1_000_000;
    const end = new AbortController();
    const readers = await Promise.all(
      (
        [
          ['', 'page_size=1000', first],
          ['', 'page_size=3&wait=1', second],
          ['', 'wait=1', first],
          [MATCHING, 'page_size=17&wait=1', second],
        ] as const
      ).map(async ([filter, paging, server]) => {
        const { next } = await readChanges(server, project.keys.analyst, undefined, filter);
        const mirror = new Mirror();
        // What an export that began before the writes contains: nothing.
        const query = [filter, paging].filter((one) => one !== '').join('&');
        return { filter, mirror, following: follow(mirror, next, end.signal, query, server) };
      }),
    );
    const statuses = new Map<string, number>();
    await Promise.all(
      Array.from({ length: WRITERS }, async (_, writer) => {
        const random = randomOf(seed + writer);
        const writes = [...ownWrites(writer), ...Array.from({ length: WRITES }, () => anyWrite(random))];
        for (const [method, path, body, headers = {}] of writes) {
          const server = servers[random(2)] ?? first;
          const reply = await server.call(method, path, { key: project.keys.admin, body, headers });
          const kind = `${method} ${path.split(/[/?]/)[1] ?? ''} ${String(Math.floor(reply.status / 100))}`;
          statuses.set(kind, (statuses.get(kind) ?? 0) + 1);
          expect(reply.status).toBeLessThan(500);
        }
      }),
    );
    end.abort();
    for (const { filter, mirror, following } of readers) {
      await following;
      expect({ seed, filter, objects: new Map([...mirror.objects].sort()) }).toEqual({
        seed,
        filter,
        objects: new Map([...(await exported(filter))].sort()),
      });
    }
    // Each kind has succeeded, or the test shows nothing.
    for (const kind of [
      'POST batches 2',
      'PUT batches 2',
      'POST objects 2',
      'PATCH objects 2',
      'DELETE objects 2',
      'DELETE batches 2',
    ])
      expect([seed, kind, (statuses.get(kind) ?? 0) > 0]).toEqual([seed, kind, true]);
  });
});
