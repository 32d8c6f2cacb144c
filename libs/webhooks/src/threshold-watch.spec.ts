import { afterAll, beforeAll, beforeEach, describe, expect, it, jest } from '@jest/globals';
import { AggregateService, AggregateStore, RollupRefresher, RollupStore } from '#analytics';
import { EncryptedKeys } from '#encryption';
import { EventStore } from '#events';
import { Config } from '#platform';
import { Logger } from '@nestjs/common';
import { Telemetry } from '#telemetry';
import { cloneDatabase, type TestDatabase } from '../../../test/harness/database.js';
import { ThresholdWatch } from './threshold-watch.js';
import type { ThresholdDto } from './webhook.dto.js';
import { WebhookStore, type WebhookContent } from './webhook.store.js';

const config = new Config({});
const { signal } = new AbortController();

let db: TestDatabase;
let aggregates: AggregateService;
let webhooks: WebhookStore;
let watch: ThresholdWatch;
/** A project of its own for each test. */
let projectId = 0;

beforeAll(async () => {
  db = await cloneDatabase();
  const rollups = new RollupStore(db.database);
  aggregates = new AggregateService(new AggregateStore(db.database), rollups, new RollupRefresher(rollups), config);
  webhooks = new WebhookStore(db.database, config);
});
afterAll(() => db.close());
beforeEach(async () => {
  watch = watchOf(aggregates);
  projectId++;
  await db.sql('DELETE FROM webhooks');
});

function watchOf(
  service: AggregateService,
  encryption = new EncryptedKeys(db.database, Telemetry.off(), config),
): ThresholdWatch {
  return new ThresholdWatch(new EventStore(db.sequence, Telemetry.off()), service, encryption, db.database);
}

/** Looks at the thresholds at a time of 10 May 2024. */
async function look(time: string, ...watches: ThresholdWatch[]): Promise<void> {
  const clock = jest.spyOn(Date, 'now').mockReturnValue(Date.parse(`2024-05-10T${time}:00Z`));
  try {
    await Promise.all([watch, ...watches].map((each) => each.look(signal)));
  } finally {
    clock.mockRestore();
  }
}

const OF_HOURS: ThresholdDto = { op: 'avg', key: 't', bucket: '1h', compare: { $gt: 8 } };

function contentOf(threshold: Partial<ThresholdDto>): WebhookContent {
  const url = 'http://192.0.2.1/';
  return { name: 'w', url, events: ['threshold.reached'], threshold: { ...OF_HOURS, ...threshold }, is_enabled: true };
}

/** @returns the id of a webhook of the project of the test */
async function create(threshold: Partial<ThresholdDto> = {}): Promise<string> {
  const id = db.sequence.next().toString();
  await webhooks.insert(db.database, projectId, id, contentOf(threshold), 'whsec_', null);
  return id;
}

/** Stores an object with a number under the key `t`. */
async function store(time: string, value: number, subject: string | null = null): Promise<void> {
  await db.sql(
    `INSERT INTO objects (project_id, batch_id, object_id, seq, subject, observed_at, data, bytes)
     VALUES ($1, 'b', $2::bigint::text, $2::bigint, $3, $4, $5, 0)`,
    [
      projectId,
      db.sequence.next().toString(),
      subject,
      `2024-05-10T${time}:00Z`,
      `[{"key":"t","value":${String(value)}}]`,
    ],
  );
}

/** The hours and values that were reported. */
async function reported(): Promise<[string, number][]> {
  const rows = await db.sql<{ body: string }>(
    'SELECT body FROM webhook_deliveries WHERE project_id = $1 ORDER BY delivery_id',
    [projectId],
  );
  return rows.map(({ body }) => {
    const { data } = JSON.parse(body) as { data: { bucket_start: string; value: number } };
    return [data.bucket_start.slice(11, 16), data.value];
  });
}

describe('a threshold', () => {
  it('is reported once for each bucket that reaches it, although several processes compute it again and again', async () => {
    await create();
    await store('10:05', 7);
    await look('10:10');
    expect(await reported()).toEqual([]);
    await store('10:15', 20);
    await look('10:20', watchOf(aggregates));
    await look('10:30');
    const first = ['10:00', 13.5];
    expect(await reported()).toEqual([first]);
    await store('11:05', 9);
    await look('11:10', watchOf(aggregates));
    await look('11:59');
    await look('12:01');
    expect(await reported()).toEqual([first, ['11:00', 9]]);
  });

  it('is not computed of the values of an encrypted key, and takes its key literally', async () => {
    const encryption = new EncryptedKeys(db.database, Telemetry.off(), config);
    watch = watchOf(aggregates, encryption);
    await create({ op: 'count', key: 'a.b', compare: { $lt: 1 } });
    const encrypt = async (keys: string[]): Promise<void> => {
      await db.sql(
        `INSERT INTO projects (project_id, seq, name, encrypted_keys, encryption_key_id) VALUES ($1, 1, 'p', $2, 'k')
         ON CONFLICT (project_id) DO UPDATE SET encrypted_keys = excluded.encrypted_keys`,
        [projectId, keys],
      );
      await encryption.read();
    };
    await encrypt(['a.b']);
    await look('11:00');
    expect(await reported()).toEqual([]);
    await encrypt(['a']);
    await look('11:00');
    expect(await reported()).toEqual([['10:00', 0]]);
  });

  it('is reported for a bucket that reaches it after its end, and not for older ones', async () => {
    await create();
    await store('10:59', 30);
    await store('09:59', 20);
    await look('11:01');
    expect(await reported()).toEqual([['10:00', 30]]);
  });

  it.each([
    [{ $gt: 5 }, 6, '10:59'],
    [{ $gte: 5 }, 5, '10:59'],
    [{ $lt: 5 }, 4, '11:00'],
    [{ $lte: 5 }, 5, '11:00'],
  ])('of %j is reached by %d, and is reported from %s on', async (compare, value, time) => {
    await create({ compare });
    await store('10:05', value);
    await look('10:59');
    expect(await reported()).toEqual(time === '10:59' ? [['10:00', value]] : []);
    await look('11:00');
    await look('11:01');
    expect(await reported()).toEqual([['10:00', value]]);
  });

  it.each([{ $gt: 5 }, { $gte: 5.1 }, { $lt: 5 }, { $lte: 4.9 }])('of %j is not reached by 5', async (compare) => {
    await create({ compare });
    await store('10:05', 5);
    await look('11:00');
    expect(await reported()).toEqual([]);
  });

  it('has the count 0 in a bucket without objects, and no other value', async () => {
    await create({ op: 'sum', compare: { $lt: 1 } });
    await look('11:01');
    expect(await reported()).toEqual([]);
    const { key: _, ...count } = { ...OF_HOURS, op: 'count', compare: { $lt: 1 } } as const;
    await webhooks.insert(db.database, projectId, '1', { ...contentOf({}), threshold: count }, 'whsec_', null);
    await look('11:01');
    expect(await reported()).toEqual([['10:00', 0]]);
  });

  it('with a subject is of the objects about it', async () => {
    await create({ subject: 'a' });
    await store('10:05', 20, 'b');
    await store('10:05', 30);
    await look('10:10');
    expect(await reported()).toEqual([]);
    await store('10:05', 10, 'a');
    await look('10:10');
    expect(await reported()).toEqual([['10:00', 10]]);
  });

  it('is reported again for the same bucket when it is changed, and not when something else is', async () => {
    const id = await create();
    await store('10:05', 20);
    await look('10:10');
    await webhooks.update(db.database, projectId, id, { ...contentOf({}), name: 'another' }, null);
    await look('10:10');
    expect(await reported()).toHaveLength(1);
    await webhooks.update(db.database, projectId, id, contentOf({ compare: { $gt: 9 } }), null);
    await look('10:10');
    await look('10:10');
    expect(await reported()).toHaveLength(2);
  });

  it('is not reported when it is changed while its value is computed, and its new definition is', async () => {
    const id = await create();
    await store('10:05', 20);
    let isChanged = false;
    watch = watchOf({
      compute: async (...args: Parameters<AggregateService['compute']>) => {
        const rows = await aggregates.compute(...args);
        if (!isChanged) await webhooks.update(db.database, projectId, id, contentOf({ op: 'count' }), null);
        isChanged = true;
        return rows;
      },
    } as unknown as AggregateService);
    await look('10:10');
    expect(await reported()).toEqual([]);
    for (let count = 0; count < 8; count++) await store('10:06', 1);
    await look('10:10');
    expect(await reported()).toEqual([['10:00', 9]]);
  });
});

describe('the watch for thresholds', () => {
  const computed: number[] = [];
  /** A watch whose values are computed by a function. */
  const watchBy = (compute: () => Promise<never>): ThresholdWatch =>
    watchOf({
      compute: (id: number): Promise<never> => {
        computed.push(id);
        return compute();
      },
    } as unknown as AggregateService);

  beforeEach(async () => {
    computed.length = 0;
    for (const id of [1, 2, 3]) {
      projectId = id + 1_000;
      await create();
    }
  });

  it('goes on with other projects where a value cannot be computed, and stops when the server stops', async () => {
    const failing = watchBy(() => Promise.reject(new Error('the value cannot be computed')));
    await failing.look(AbortSignal.abort());
    expect(computed).toEqual([]);
    await failing.look(signal);
    expect(computed.sort()).toEqual([1_001, 1_002, 1_003]);
  });

  it('goes on after 10 seconds where a value waits for the other work of its project', async () => {
    jest.useFakeTimers({ doNotFake: ['nextTick', 'setImmediate', 'queueMicrotask', 'performance', 'Date'] });
    try {
      const looked = watchBy(() => new Promise(() => undefined)).look(signal);
      for (let count = 1; count <= 3; count++) {
        const endMs = performance.now() + 20_000;
        while (computed.length < count && performance.now() < endMs) await new Promise(setImmediate);
        expect(computed).toHaveLength(count);
        await jest.advanceTimersByTimeAsync(10_000);
      }
      await looked;
    } finally {
      jest.useRealTimers();
    }
  });
});

describe('the watch for many thresholds', () => {
  /** The keys that each look has computed. */
  const looks: string[][] = [];
  const warnings: string[] = [];

  /** Webhooks of several projects, each with a key of its own, such as `2-1` for the first one of the second project. */
  async function createMany(projects: number, ofEach: number): Promise<void> {
    await db.sql(
      `INSERT INTO webhooks (project_id, webhook_id, name, url, secret, events, is_enabled, threshold)
       SELECT p, w, 'w', 'http://192.0.2.1/', 'whsec_', '{threshold.reached}', true,
         json_build_object('op', 'avg', 'key', p || '-' || w, 'bucket', '1h', 'compare', json_build_object('$gt', 1))
       FROM generate_series(1, $1::int) AS p, generate_series(1, $2::int) AS w`,
      [projects, ofEach],
    );
  }

  /** Looks several times. Only computing takes time. */
  async function lookTimes(count: number, costMs: (key: string) => number): Promise<void> {
    let nowMs = 0;
    const clock = jest.spyOn(performance, 'now').mockImplementation(() => nowMs);
    const logged = jest.spyOn(Logger.prototype, 'warn').mockImplementation((text) => warnings.push(String(text)));
    watch = watchOf({
      compute: (_project: number, _filter: unknown, { key }: { key: string }) => {
        nowMs += costMs(key);
        looks.at(-1)?.push(key);
        return Promise.resolve([]);
      },
    } as unknown as AggregateService);
    try {
      for (let done = 0; done < count; done++) {
        looks.push([]);
        await watch.look(signal);
      }
    } finally {
      clock.mockRestore();
      logged.mockRestore();
    }
  }

  beforeEach(() => {
    looks.length = 0;
    warnings.length = 0;
  });

  it('computes each once, one of each project before the second one of any', async () => {
    await createMany(30, 15);
    await lookTimes(1, () => 1);
    expect(new Set(looks[0]).size).toBe(450);
    expect(looks[0]?.length).toBe(450);
    expect(looks[0]?.map((key) => key.split('-')[1])).toEqual(
      Array.from({ length: 450 }, (_, i) => String(1 + Math.floor(i / 30))),
    );
    expect(warnings).toEqual([]);
  });

  it('goes on with the next ones in the next look when its time is over, and warns of their number', async () => {
    await createMany(30, 10);
    await lookTimes(8, () => 500);
    expect(looks[0]).toHaveLength(61);
    expect(warnings[0]).toMatch(/^239 thresholds were not computed within 30 seconds/);
    const all = looks.flat();
    expect(new Set(all.slice(0, 300)).size).toBe(300);
    expect(all.slice(300)).toEqual(all.slice(0, all.length - 300));
  });

  it('computes those of a project that takes long after all others, and by turns', async () => {
    await createMany(5, 20);
    const isSlow = (key: string): boolean => key.startsWith('1-');
    await lookTimes(3, (key) => (isSlow(key) ? 2_000 : 1));
    for (const keys of looks) expect(keys.filter((key) => !isSlow(key))).toHaveLength(80);
    expect(looks.slice(1).map((keys) => keys.findIndex(isSlow))).toEqual([80, 80]);
    expect(new Set(looks.slice(1).flat().filter(isSlow)).size).toBe(20);
    expect(warnings).toHaveLength(3);
  });
});
