import { readdir, readFile } from 'node:fs/promises';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { settingsFor } from '../harness/api.js';
import { RUN } from '../harness/run.js';
import { createDatabase, dropDatabase, Tables } from '../harness/tables.js';
import { waitFor } from '../jobs/jobs.js';
import { startProcess, startReceiver, type Running } from './processes.js';

/** The first part of a trace: the span of a client that calls the API. */
const TRACE = '0af7651916cd43dd8448eb211c80319c';
const CLIENT_SPAN = 'b7ad6b7169203331';
const ADMIN_KEY = 'an-admin-key-of-the-tests-of-traces-1';
const DATA = 'a value of the client';

/** OTLP as JSON: only what the tests read. */
interface OtlpSpan {
  traceId: string;
  spanId: string;
  parentSpanId?: string;
  name: string;
  kind: number;
  attributes: { key: string; value: Record<string, unknown> }[];
}
interface OtlpTraces {
  resourceSpans: { resource: { attributes: OtlpSpan['attributes'] }; scopeSpans: { spans: OtlpSpan[] }[] }[];
}
type ReceivedSpan = OtlpSpan & { service: unknown };

let collector: Awaited<ReturnType<typeof startReceiver>>;
let tables: Tables;
let server: Running;
let worker: Running;
let origin: string;

beforeAll(async () => {
  collector = await startReceiver();
  tables = new Tables(await createDatabase());
  const settings = {
    ...settingsFor(tables),
    STOWAGE_ADMIN_KEY: ADMIN_KEY,
    STOWAGE_OPERATOR_KEY: RUN.operatorKey,
    WORKER: 'separate',
    OTEL_EXPORTER_OTLP_ENDPOINT: collector.origin,
    OTEL_BSP_SCHEDULE_DELAY: '50',
    // An empty value counts as not set: a line of .env without a value, which docker-compose.yml passes on.
    OTEL_EXPORTER_OTLP_HEADERS: '',
    OTEL_SERVICE_NAME: '',
    OTEL_TRACES_SAMPLER: '',
    OTEL_TRACES_SAMPLER_ARG: '',
  };
  server = await startProcess('api', settings, /Stowage is ready: (\S+?)\/api\/v1\//);
  origin = server.ready[1] ?? '';
  worker = await startProcess('worker', { ...settings, OTEL_SERVICE_NAME: 'the worker' }, /Stowage worker is ready/);
});
afterAll(async () => {
  await worker.stop();
  await server.stop();
  await tables.close();
  await dropDatabase(tables.address);
  await collector.stop();
});

function spans(): ReceivedSpan[] {
  return collector.received
    .filter(({ path }) => path === '/v1/traces')
    .flatMap(({ body }) => (JSON.parse(body) as OtlpTraces).resourceSpans)
    .flatMap(({ resource, scopeSpans }) => {
      const service = resource.attributes.find(({ key }) => key === 'service.name')?.value.stringValue;
      return scopeSpans.flatMap((scope) => scope.spans.map((span) => ({ ...span, service })));
    });
}

function spanNamed(name: string, traceId = TRACE): Promise<ReceivedSpan> {
  return waitFor(() => Promise.resolve(spans().find((span) => span.name === name && span.traceId === traceId)));
}

function childrenOf({ spanId }: OtlpSpan): OtlpSpan[] {
  return spans().filter(({ parentSpanId }) => parentSpanId === spanId);
}

/** Waits until the log of a process has a line of this trace. */
async function logged({ log }: Running, trace: string): Promise<void> {
  await waitFor(() => Promise.resolve(log().includes(`"trace_id":"${trace}"`) || undefined));
}

async function post(batchId: string, traceparent: string, headers: Record<string, string> = {}): Promise<Response> {
  const body = JSON.stringify({ batch_id: batchId, objects: [{ object_id: `of-${batchId}`, data: { text: DATA } }] });
  return fetch(`${origin}/api/v1/batches`, {
    method: 'POST',
    headers: { 'X-Api-Key': ADMIN_KEY, 'Content-Type': 'application/json', traceparent, ...headers },
    body,
  });
}

describe('with OTEL_EXPORTER_OTLP_ENDPOINT', () => {
  it('a request that becomes a job is one trace, from the client through the server to the statements of the worker', async () => {
    const reply = await post('traced', `00-${TRACE}-${CLIENT_SPAN}-01`, { Prefer: 'respond-async' });
    expect(reply.status).toBe(202);
    const request = await spanNamed('POST /api/v1/batches');
    expect(request).toMatchObject({ traceId: TRACE, parentSpanId: CLIENT_SPAN, kind: 2, service: 'stowage' });
    const job = await spanNamed('job batch.create');
    expect(job).toMatchObject({ parentSpanId: request.spanId, kind: 5, service: 'the worker' });
    const [insert, succeed] = [await spanNamed('job.insert'), await spanNamed('job.succeed')];
    expect(insert).toMatchObject({ parentSpanId: request.spanId, kind: 3, service: 'stowage' });
    expect(succeed).toMatchObject({ parentSpanId: job.spanId, kind: 3, service: 'the worker' });
    expect(childrenOf(job).map(({ name }) => name)).toEqual(expect.arrayContaining(['COMMIT']));
    expect(
      spans()
        .filter(({ traceId }) => traceId === TRACE)
        .every(({ parentSpanId }) => parentSpanId),
    ).toBe(true);
    const ids = [CLIENT_SPAN, ...spans().map(({ spanId }) => spanId)];
    for (const span of spans()) if (span.traceId === TRACE) expect(ids).toContain(span.parentSpanId);
  });

  it('the log of both processes has the trace', async () => {
    await spanNamed('job batch.create');
    await Promise.all([server, worker].map((process) => logged(process, TRACE)));
  });

  it('the statements of a read belong to it', async () => {
    const trace = '1'.repeat(32);
    await fetch(`${origin}/api/v1/objects?data=${encodeURIComponent(JSON.stringify({ text: DATA }))}`, {
      headers: { 'X-Api-Key': ADMIN_KEY, traceparent: `00-${trace}-${CLIENT_SPAN}-01` },
    });
    const request = await spanNamed('GET /api/v1/objects', trace);
    const attributes = Object.fromEntries(request.attributes.map(({ key, value }) => [key, Object.values(value)[0]]));
    expect(attributes).toMatchObject({ 'http.route': '/api/v1/objects', 'http.response.status_code': 200 });
    expect(childrenOf(request).length).toBeGreaterThan(0);
  });

  it('the statement of a look-up by id belongs to it', async () => {
    const accepted = await post('looked-up', `00-${TRACE}-${CLIENT_SPAN}-00`, { Prefer: 'respond-async' });
    const job = /\d+$/.exec(accepted.headers.get('location') ?? '')?.[0] ?? '';
    const look = async (path: string, name: string, trace: string): Promise<void> => {
      const headers = { 'X-Api-Key': ADMIN_KEY, traceparent: `00-${trace}-${CLIENT_SPAN}-01` };
      expect((await fetch(`${origin}/api/v1/${path}`, { headers })).status).toBe(200);
      expect(childrenOf(await spanNamed(name, trace))).toHaveLength(1);
    };
    await look(`jobs/${job}`, 'GET /api/v1/jobs/:job_id', '6'.repeat(32));
    await waitFor(async () => {
      const headers = { 'X-Api-Key': ADMIN_KEY };
      return (await fetch(`${origin}/api/v1/objects/of-looked-up`, { headers })).status === 200 || undefined;
    });
    await look('objects/of-looked-up', 'GET /api/v1/objects/:object_id', '7'.repeat(32));
    await look('batches/looked-up', 'GET /api/v1/batches/:batch_id', '8'.repeat(32));
  });

  it('a request that its client does not sample is not traced, and its trace is in the log', async () => {
    const [unsampled, sampled] = ['2'.repeat(32), '3'.repeat(32)];
    await post('unsampled', `00-${unsampled}-${CLIENT_SPAN}-00`);
    await post('sampled', `00-${sampled}-${CLIENT_SPAN}-01`);
    await spanNamed('POST /api/v1/batches', sampled);
    expect(spans().filter(({ traceId }) => traceId === unsampled)).toEqual([]);
    await logged(server, unsampled);
  });

  it('a request without a valid key is not traced, although its traceparent is sampled', async () => {
    const [stranger, sampled] = ['4'.repeat(32), '5'.repeat(32)];
    for (const key of ['', 'stw_admin_unknown'])
      expect((await post('strange', `00-${stranger}-${CLIENT_SPAN}-01`, { 'X-Api-Key': key })).status).toBe(401);
    const open = await fetch(`${origin}/health/live`, { headers: { traceparent: `00-${stranger}-${CLIENT_SPAN}-01` } });
    expect(open.status).toBe(200);
    await post('after-strangers', `00-${sampled}-${CLIENT_SPAN}-01`);
    await spanNamed('POST /api/v1/batches', sampled);
    expect(spans().filter(({ traceId }) => traceId === stranger)).toEqual([]);
  });

  it('spans have no key, no id of an object and no data', () => {
    const sent = collector.received.map(({ body }) => body).join('\n');
    expect(sent.length).toBeGreaterThan(1_000);
    for (const secret of [ADMIN_KEY, DATA, 'of-traced', 'of-sampled']) expect(sent).not.toContain(secret);
  });
});

it('a collector that cannot be reached is logged once a minute, and when it can be reached again', async () => {
  const receiver = await startReceiver();
  await receiver.stop();
  const running = await startProcess(
    'api',
    {
      ...settingsFor(tables),
      STOWAGE_ADMIN_KEY: ADMIN_KEY,
      STOWAGE_OPERATOR_KEY: RUN.operatorKey,
      WORKER: 'separate',
      OTEL_EXPORTER_OTLP_ENDPOINT: receiver.origin,
      OTEL_EXPORTER_OTLP_TIMEOUT: '200',
      OTEL_BSP_SCHEDULE_DELAY: '10',
    },
    /Stowage is ready: (\S+?)\/api\/v1\//,
  );
  try {
    const lines = (text: string): number => running.log().split(text).length - 1;
    const read = async (): Promise<void> => {
      const url = `${running.ready[1] ?? ''}/api/v1/objects`;
      expect((await fetch(url, { headers: { 'X-Api-Key': ADMIN_KEY } })).status).toBe(200);
    };
    const failed = 'spans could not be sent to OTEL_EXPORTER_OTLP_ENDPOINT: Error ECONNREFUSED';
    await waitFor(async () => {
      await read();
      return lines(failed) > 0 || undefined;
    });
    const again = await startReceiver(Number(new URL(receiver.origin).port));
    try {
      await waitFor(async () => {
        await read();
        return lines('spans are sent to OTEL_EXPORTER_OTLP_ENDPOINT again') > 0 || undefined;
      });
    } finally {
      await again.stop();
    }
    expect(lines(failed)).toBe(1);
  } finally {
    await running.stop();
  }
});

it('nothing of OpenTelemetry and Sentry is loaded unless it is used', async () => {
  const files = (await readdir('libs', { recursive: true })).filter((file) => file.endsWith('.ts'));
  for (const file of files) {
    const text = await readFile(`libs/${file}`, 'utf8');
    const values = text.match(/^import (?!type)[^;]*'@(opentelemetry|sentry)\/[^']*';/gm) ?? [];
    expect([file, values]).toEqual([file, []]);
  }
});
