import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { TestApi, type TestProject } from '../harness/api.js';
import { submitJob, waitFor } from '../jobs/jobs.js';
import { startReceiver } from './processes.js';

/** The part of an event of Sentry's protocol that the tests read. */
interface SentryEvent {
  release: string;
  tags: Record<string, string>;
  exception: { values: { type: string; value: string; stacktrace: { frames: { filename: string }[] } }[] };
}

const MARKER = 'a-value-of-the-client';
const TRACEPARENT = { traceparent: '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01' };

let receiver: Awaited<ReturnType<typeof startReceiver>>;
let api: TestApi;
let project: TestProject;

beforeAll(async () => {
  receiver = await startReceiver();
  api = await TestApi.start({ WORKER: 'inline', SENTRY_DSN: `${receiver.origin.replace('//', '//publickey@')}/7` });
  project = await api.project();
  // Its error quotes the value, as many of PostgreSQL's own do.
  await api.db.sql(`CREATE FUNCTION is_accepted(id text) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN
      IF id LIKE 'a-value%' THEN
        RAISE check_violation USING MESSAGE = format('"%s" is rejected', id), DETAIL = id, HINT = id;
      END IF;
      RETURN true;
    END $$`);
  await api.db.sql(`ALTER TABLE devices ADD CONSTRAINT rejected CHECK (is_accepted(device_id))`);
  await api.db.sql(`ALTER TABLE objects ADD CONSTRAINT rejected CHECK (is_accepted(object_id))`);
});
afterAll(async () => {
  await api.stop();
  await receiver.stop();
});

/** The events that were received, from the items of their envelopes. */
function events(): SentryEvent[] {
  return receiver.received
    .filter(({ path }) => path.startsWith('/api/7/envelope/'))
    .map(({ body }) => body.split('\n'))
    .filter(([, item = '']) => (JSON.parse(item) as { type: string }).type === 'event')
    .map(([, , event = '']) => JSON.parse(event) as SentryEvent);
}

function eventWith(tags: Record<string, string>): Promise<SentryEvent> {
  return waitFor(() =>
    Promise.resolve(events().find((event) => Object.entries(tags).every(([tag, value]) => event.tags[tag] === value))),
  );
}

it('an unexpected error of a request is sent with its route, request and stack, and without data', async () => {
  const body = { device_id: `${MARKER}-1` };
  const reply = await api.call('POST', '/devices', { key: project.keys.admin, body, headers: TRACEPARENT });
  expect(reply.status).toBe(500);
  const event = await eventWith({ request_id: reply.headers.get('x-request-id') ?? '' });
  expect(event.release).toMatch(/^stowage@\d/);
  expect(event.tags).toMatchObject({
    method: 'POST',
    route: '/api/v1/devices',
    project: String(project.projectId),
    trace_id: '4bf92f3577b34da6a3ce929d0e0e4736',
  });
  const [exception] = event.exception.values;
  expect(exception?.value).toContain('23514');
  expect(exception?.stacktrace.frames.length).toBeGreaterThan(0);
});

it('a failed attempt of a job is sent with its job and its request', async () => {
  const { producer: key } = project.keys;
  const body = { batch_id: 'reported', objects: [{ object_id: `${MARKER}-2`, data: { text: MARKER } }] };
  const job = await submitJob(api, 'POST', '/batches', { key, body });
  const event = await eventWith({ job_id: job.id });
  expect(event.tags).toMatchObject({ operation: 'batch.create', request_id: expect.any(String) });
});

it('an error of the client is not sent', async () => {
  const { admin: key } = project.keys;
  expect((await api.call('POST', '/devices', { key, body: { unknown: 1 } })).status).toBe(400);
  expect((await api.call('POST', '/devices', { key, body: { device_id: `${MARKER}-3` } })).status).toBe(500);
  await waitFor(() => Promise.resolve(events().filter(({ tags }) => tags.route === '/api/v1/devices')[1]));
  expect(events().filter(({ tags }) => tags.route === '/api/v1/devices')).toHaveLength(2);
});

it('no event and no line of the log has a key, an id or a value', async () => {
  const sent = receiver.received.map(({ body }) => body).join('\n');
  const lines = await api.log();
  expect(lines.filter(({ err }) => err !== undefined)).toContainEqual(
    expect.objectContaining({ err: expect.objectContaining({ code: '23514', message: '"…" is rejected' }) }),
  );
  for (const text of [sent, JSON.stringify(lines)]) {
    expect(text).not.toContain(MARKER);
    for (const key of Object.values(project.keys)) expect(text).not.toContain(key.slice(-20));
  }
});
