import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { KeySecret } from '#access';
import type { Maintenance, MaintenanceTask } from '#jobs';
import { Config } from '#platform';
import { cloneDatabase, type TestDatabase } from '../../../test/harness/database.js';
import { WebhookMaintenance } from './webhook-maintenance.js';
import { WebhookSecrets } from './webhook-secrets.js';

const [OLD, NEW, LOST] = ['o', 'n', 'l'].map((letter) => letter.repeat(32)) as [string, string, string];
const SECRET = 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw';

let db: TestDatabase;
beforeAll(async () => {
  db = await cloneDatabase();
});
afterAll(() => db.close());

const secretsOf = async (current: string, previous?: string): Promise<WebhookSecrets> => {
  const settings = { STOWAGE_KEY_SECRET: current, ...(previous && { STOWAGE_KEY_SECRET_PREVIOUS: previous }) };
  return new WebhookSecrets(await KeySecret.load(new Config(settings)));
};

async function storedSecrets(): Promise<string[]> {
  const rows = await db.sql<{ secret: string }>('SELECT secret FROM webhooks ORDER BY webhook_id');
  return rows.map(({ secret }) => secret);
}

it('encrypts the secrets of webhooks with the current key secret: those of a previous one, and those that were not encrypted', async () => {
  const [old, lost, current] = [await secretsOf(OLD), await secretsOf(LOST), await secretsOf(NEW)];
  const places = ['1', '2', '3', '4'].map((webhookId) => ({ projectId: 1, webhookId }));
  const [first = '', second = '', third = ''] = places.map((place, index) =>
    ([old, lost, current][index] ?? old).seal(place, SECRET),
  );
  await db.sql(
    `INSERT INTO webhooks (project_id, webhook_id, name, url, secret, events, is_enabled)
     SELECT 1, n, 'w', 'http://192.0.2.1/', secret, '{job.failed}', true
     FROM unnest($1::text[]) WITH ORDINALITY AS s (secret, n)`,
    [[first, second, third, SECRET]],
  );
  const tasks: MaintenanceTask[] = [];
  const maintenance = { add: (...added: MaintenanceTask[]) => tasks.push(...added) } as unknown as Maintenance;
  new WebhookMaintenance(maintenance, await secretsOf(NEW, OLD), db.database);
  for (const task of tasks) if ('run' in task) await task.run();
  const stored = await storedSecrets();
  // The last one is of a version that did not encrypt secrets.
  for (const index of [0, 3]) {
    expect(stored[index]).toMatch(/^sealed:/);
    expect(current.open(places[index] ?? { projectId: 0, webhookId: '' }, stored[index] ?? '')).toBe(SECRET);
  }
  // One that cannot be read stays, and so does one that is of the current key secret.
  expect(stored.slice(1, 3)).toEqual([second, third]);
});
