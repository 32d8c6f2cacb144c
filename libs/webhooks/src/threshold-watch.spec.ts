import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { AggregateService } from '#analytics';
import { EncryptedKeys } from '#encryption';
import { EventStore } from '#events';
import { Config } from '#platform';
import { Telemetry } from '#telemetry';
import { cloneDatabase, type TestDatabase } from '../../../test/harness/database.js';
import { inTurns, ThresholdWatch } from './threshold-watch.js';

let db: TestDatabase;
beforeAll(async () => {
  db = await cloneDatabase();
});
afterAll(() => db.close());

describe('the watch for thresholds', () => {
  it('computes one webhook of each project before the second one of any', () => {
    const webhooks = [1, 1, 2, 1, 3, 2].map((projectId, index) => ({
      project_id: projectId,
      webhook_id: String(index),
      threshold: '{}',
    }));
    expect(inTurns(webhooks).map(({ webhook_id: id }) => id)).toEqual(['0', '2', '4', '1', '5', '3']);
    expect(inTurns([])).toEqual([]);
  });

  it('goes on with other projects where a value cannot be computed, and stops when the server stops', async () => {
    await db.sql(
      `INSERT INTO webhooks (project_id, webhook_id, name, url, secret, events, is_enabled, threshold)
       SELECT p, p, 'w', 'http://192.0.2.1/', 'whsec_', '{threshold.reached}', true,
         '{"op":"count","bucket":"1d","compare":{"$gte":1}}' FROM generate_series(1, 3) AS p`,
    );
    const computed: number[] = [];
    const aggregates = {
      compute: (projectId: number): Promise<never> => {
        computed.push(projectId);
        return Promise.reject(new Error('the value cannot be computed'));
      },
    } as unknown as AggregateService;
    const encryption = new EncryptedKeys(db.database, Telemetry.off(), new Config({}));
    const events = new EventStore(db.sequence, Telemetry.off());
    const watch = new ThresholdWatch(events, aggregates, encryption, db.database);
    await watch.look(AbortSignal.abort());
    expect(computed).toEqual([]);
    await watch.look(new AbortController().signal);
    expect(computed.sort()).toEqual([1, 2, 3]);
  });
});
