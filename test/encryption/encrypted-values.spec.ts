import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DuckDBInstance } from '@duckdb/node-api';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { allChanges, EventStream, readChanges } from '../changes/change-client.js';
import { readExport } from '../export/export-client.js';
import { TestApi, type Reply, type TestProject } from '../harness/api.js';
import { submitJob, waitForJob } from '../jobs/jobs.js';
import { encrypt, tablesWith } from './encrypted-project.js';

const MARKER = 'Ada-Lovelace-5e3f';
const NUMBER = '271828182845904523';
const LISTED = ['name', 'a.b "ü"', 'born'];
const AT = '2026-11-26T09:00:00.000001Z';

/** Repeated keys, nested values, exact numbers, and a text that looks like a sealed value. */
const DATA = `[{"key":"name","value":"${MARKER}"},{"key":"type","value":"shoe"},{"value":${NUMBER},"key":"born"},
  {"key":"name","value":{"zz": [1e2, 1.50 ],"a":"${MARKER} \\u00fc\\n"}},{"key":"a.b \\"ü\\"","value":[ "${MARKER}",null]},
  {"key":"name","value":"$enc1:AAAAAAAA:${'B'.repeat(60)}"},{"key":"other","value":"$enc1:"}]`;

let api: TestApi;
/** The same is written to both; one has a list. */
let sealed: TestProject;
let plain: TestProject;

beforeAll(async () => {
  api = await TestApi.shared();
  [sealed, plain] = [await api.project(), await api.project()];
  await encrypt(api, sealed, LISTED);
});
afterAll(() => api.stop());

type Role = 'admin' | 'analyst' | 'producer';

async function ok(reply: Promise<Reply>): Promise<Reply> {
  const { status, text } = await reply;
  expect([status < 300, status, text]).toEqual([true, status, text]);
  return reply;
}

const object = (id: string): string => `{"object_id":"${id}","observed_at":"${AT}","data":${DATA}}`;
const line = (id: string): string => object(id).replaceAll('\n', ' ');
/** A part of a stored stream has a megabyte. */
const PADDING = `{"key":"padding","value":"${'x'.repeat(3_000)}"},`;
const paddedLine = (id: string): string => line(id).replace('[', `[${PADDING}`);
const list = (prefix: string, count: number, write: (id: string) => string): string[] =>
  Array.from({ length: count }, (_, index) => write(`${prefix}-${String(index)}`));

interface Client {
  project: TestProject;
  send: (method: string, path: string, body?: string, type?: string, role?: Role) => Promise<Reply>;
}

function clientOf(project: TestProject): Client {
  const send: Client['send'] = (method, path, body, type = 'application/json', role = 'producer') => {
    const options = { key: project.keys[role], headers: { 'Content-Type': type } };
    return ok(api.call(method, path, body === undefined ? { key: project.keys[role] } : { ...options, body }));
  };
  return { project, send };
}

const NDJSON = 'application/x-ndjson';
const CSV = `object_id,observed_at,name,type,born\r\nID,${AT},${MARKER},shoe,${NUMBER}\r\n`;

const REVISION = `SELECT revision FROM batches WHERE project_id = $1 AND batch_id = 'put'`;

/** Every way to write objects; each returns when they are stored. */
const WAYS: Readonly<Record<string, (client: Client) => Promise<unknown>>> = {
  'a small batch': ({ send }) => send('POST', '/batches', `{"batch_id":"small","objects":[${object('small')}]}`),
  'a large batch': ({ send }) =>
    send('POST', '/batches', `{"batch_id":"large","objects":[${list('large', 1_010, object).join()}]}`),
  'PUT of a batch': ({ send }) => send('PUT', '/batches/put', `{"objects":[${list('put', 250, object).join()}]}`),
  'PUT that replaces': async ({ send }) => {
    await send('PUT', '/batches/replaced', `{"objects":[${object('replaced')}]}`);
    await send('PUT', '/batches/replaced?on_conflict=replace', `{"objects":[${list('replaced', 2, object).join()}]}`);
  },
  'PUT that adds': async ({ send }) => {
    await send('PUT', '/batches/added', `{"objects":[${object('added-0')}]}`);
    await send('PUT', '/batches/added?on_conflict=skip', `{"objects":[${list('added', 2, object).join()}]}`);
  },
  'PUT in part': ({ send }) =>
    send('PUT', '/batches/part?mode=partial', `{"objects":[{"object_id":"bad"},${object('part')}]}`),
  NDJSON: ({ send }) => send('PUT', '/batches/ndjson', list('ndjson', 3, line).join('\n'), NDJSON),
  'a stream of several parts': ({ send }) =>
    send('PUT', '/batches/stream', list('stream', 400, paddedLine).join('\n'), NDJSON),
  CSV: ({ send }) =>
    send('PUT', '/batches/csv?id=object_id&observed_at=observed_at', CSV.replace('ID', 'csv'), 'text/csv'),
  'an object': async ({ send }) => {
    await send('POST', '/batches', '{"batch_id":"single","objects":[]}');
    await send('POST', '/objects', object('single-0').replace('{', '{"batch_id":"single",'));
    await send('PUT', '/objects/single-1', object('single-1').replace('{', '{"batch_id":"single",'));
    await send('PUT', '/objects/single-0', object('single-0'));
  },
  patches: async ({ send }) => {
    await send('POST', '/batches', `{"batch_id":"patched","objects":[${list('patched', 3, object).join()}]}`);
    const merge = `{"data":{"born":"${MARKER}","type":"boot"}}`;
    await send('PATCH', '/objects/patched-0', merge, 'application/merge-patch+json');
    await send('PATCH', '/objects/patched-1', '{"subject":"s"}', 'application/merge-patch+json');
    const operations = `[{"op":"test","path":"/data/0/value","value":"${MARKER}"},{"op":"copy","from":"/data/0","path":"/data/-"}]`;
    await send('PATCH', '/objects/patched-2', operations, 'application/json-patch+json', 'admin');
  },
  'an Idempotency-Key': async ({ project: { keys } }) => {
    const body = `{"batch_id":"once","objects":[${object('once')}]}`;
    const options = { key: keys.producer, body, headers: { 'Idempotency-Key': 'once' } };
    await ok(api.call('POST', '/batches', options));
    expect((await ok(api.call('POST', '/batches', options))).headers.get('idempotency-replayed')).toBe('true');
  },
  'a deletion that is undone': async ({ send }) => {
    await send('POST', '/batches', `{"batch_id":"undone","objects":[${list('undone', 2, object).join()}]}`);
    await send('DELETE', '/batches/undone?cascade=true', undefined, undefined, 'admin');
    await send('POST', '/batches/undone/restore', undefined, undefined, 'admin');
  },
};

describe('a project with encrypted keys', () => {
  beforeAll(async () => {
    for (const project of [sealed, plain]) {
      const client = clientOf(project);
      for (const write of Object.values(WAYS)) await write(client);
      await client.send('PUT', '/batches/dry?dry_run=true', `{"objects":[${object('dry')}]}`);
      await client.send('POST', '/batches', `{"batch_id":"deleted","objects":[${object('deleted')}]}`);
      await client.send('DELETE', '/objects/deleted', undefined, undefined, 'admin');
    }
  });

  it('stores no value of them in any table, and logs none', async () => {
    for (const text of [MARKER, NUMBER]) expect(await tablesWith(api, sealed, text)).toEqual([]);
    // The search finds what is there.
    expect(await tablesWith(api, plain, MARKER)).toEqual(expect.arrayContaining(['objects', 'deleted_objects']));
    expect(JSON.stringify(await api.log())).not.toContain(MARKER);
  });

  it('stores them as text that names the data key, and other values as they are', async () => {
    const [row] = await api.db.sql<{ data: string }>(
      'SELECT data FROM objects WHERE project_id = $1 AND object_id = $2',
      [sealed.projectId, 'small'],
    );
    const values = (JSON.parse(row?.data ?? '') as { key: string; value: unknown }[]).map(({ key, value }) => [
      key,
      typeof value === 'string' ? value.replace(/^\$enc1:[\w-]{8}:[\w-]{38,}$/, 'sealed') : value,
    ]);
    expect(values).toEqual([
      ['name', 'sealed'],
      ['type', 'shoe'],
      ['born', 'sealed'],
      ['name', 'sealed'],
      ['a.b "ü"', 'sealed'],
      ['name', 'sealed'],
      ['other', '$enc1:'],
    ]);
  });

  it.each<[string, string, Record<string, string>]>([
    ['a page', '/objects?page_size=50', {}],
    ['a sorted page', '/objects?sort=-data.type&page_size=50', {}],
    ['a filtered page', '/objects?data={"type":"shoe"}&page_size=50', {}],
    ['keys of a page', '/objects?fields=data.name,data.type&page_size=50', {}],
    ['plain objects', '/objects?data_as=object&page_size=50', {}],
    ['an object', '/objects/small', {}],
    ['an object that was patched', '/objects/patched-0', {}],
    ['an object by JSON Patch', '/objects/patched-2', {}],
    ['an object with a text like a sealed value', '/objects/csv?data_as=object', {}],
    ['a batch', '/batches/small', {}],
    ['a large batch', '/batches/large', {}],
    ['a batch as NDJSON', '/batches/stream', { Accept: NDJSON }],
    ['batches with their objects', '/batches?include=objects&page_size=100&fields=object_id,data', {}],
  ])('reads the same as one without: %s', async (_, path, headers) => {
    for (const role of ['admin', 'analyst'] as const) {
      const [a, b] = await Promise.all(
        [sealed, plain].map(async ({ keys }) => {
          const reply = await api.call('GET', encodeURI(path), { key: keys[role], headers });
          expect([reply.status, reply.text]).toEqual([200, reply.text]);
          const isTimed = path.startsWith('/batches?') || path.includes('page_size');
          return {
            text: isTimed ? reply.text.replaceAll(/"(?:created_at|next|objects_next)":"[^"]+"/g, '""') : reply.text,
          };
        }),
      );
      // Without the texts, which are long.
      expect(a?.text === b?.text).toBe(true);
      expect(a?.text.replaceAll(/\$enc1:(?:A{8}:|")/g, '').includes('$enc1:')).toBe(false);
      expect(a?.text.includes(MARKER)).toBe(true);
    }
  });

  it.each(['ndjson', 'csv', 'parquet'])('exports the same as one without: %s', async (format) => {
    const filter = encodeURIComponent('{"type":{"$in":["shoe","boot"]}}');
    const query = `?format=${format}&data=${filter}&sort=object_id`;
    const [a, b] = await Promise.all([sealed, plain].map(({ keys }) => readExport(api, keys.analyst, query)));
    expect(a?.status).toBe(200);
    expect(a?.body.equals(b?.body ?? Buffer.alloc(0))).toBe(true);
    expect(a?.body.includes(MARKER)).toBe(true);
  });

  it('exports numbers as numbers in Parquet', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'stowage-encryption-'));
    try {
      const { body } = await readExport(api, sealed.keys.analyst, '?format=parquet&batch_id=csv');
      const path = join(folder, 'export.parquet');
      await writeFile(path, body);
      const duck = await (await DuckDBInstance.create()).connect();
      const rows = (await duck.runAndReadAll(`SELECT typeof(born), born::text, name FROM '${path}'`)).getRows();
      duck.closeSync();
      expect(rows).toEqual([['BIGINT', NUMBER, MARKER]]);
    } finally {
      await rm(folder, { recursive: true });
    }
  });

  it('has the values in the feed of changes, and in its events', async () => {
    const { keys } = sealed;
    const { next } = await readChanges(api, keys.analyst);
    const stream = await EventStream.open(api, keys.admin, `since=${next}`);
    await clientOf(sealed).send('POST', '/batches', `{"batch_id":"followed","objects":[${object('followed')}]}`);
    const read = await api.call('GET', '/objects/followed', { key: keys.analyst });
    const { changes } = await allChanges(api, keys.analyst, next);
    expect(changes.map((change) => change.object)).toEqual([read.json()]);
    expect((await stream.nextChange()).change.object).toEqual(read.json());
    stream.close();
  });

  it('finds the same content unchanged', async () => {
    const body = `{"objects":[${list('put', 250, object).join()}]}`;
    const [before] = await api.db.sql(REVISION, [sealed.projectId]);
    const options = { key: sealed.keys.producer, body };
    const reply = await ok(api.call('PUT', '/batches/put', options));
    expect(reply.status).toBe(200);
    expect(await api.db.sql(REVISION, [sealed.projectId])).toEqual([before]);
    const other = { ...options, body: body.replace(MARKER, 'another') };
    expect((await api.call('PUT', '/batches/put', other)).status).toBe(409);
  });

  it('counts the size of what is stored', async () => {
    const [usage] = await api.db.sql<{ stored: string; counted: string }>(
      `SELECT sum(bytes) AS stored, (SELECT sum(bytes) FROM project_usage WHERE project_id = $1) AS counted
       FROM objects WHERE project_id = $1`,
      [sealed.projectId],
    );
    expect(usage?.counted).toBe(usage?.stored);
  });

  it('reads what a job has stored', async () => {
    const body = { batch_id: 'job', objects: [JSON.parse(object('job')) as object] };
    const job = await submitJob(api, 'POST', '/batches', { key: sealed.keys.producer, body });
    expect(await waitForJob(api, sealed.keys.producer, job)).toMatchObject({ status: 'succeeded' });
    const reply = await ok(api.call('GET', '/objects/job', { key: sealed.keys.analyst }));
    expect(reply.text).toContain(MARKER);
    const single = await submitJob(api, 'POST', '/objects', {
      key: sealed.keys.producer,
      body: object('job-1').replace('{', '{"batch_id":"job",'),
    });
    expect(await waitForJob(api, sealed.keys.producer, single)).toMatchObject({ status: 'succeeded' });
    expect(await tablesWith(api, sealed, MARKER)).toEqual([]);
  });

  it('is not read by producers and devices', async () => {
    for (const role of ['producer', 'device'] as const) {
      for (const path of ['/objects', '/objects/small', '/batches/small', '/objects/export', '/objects/changes'])
        expect((await api.call('GET', path, { key: sealed.keys[role] })).status).toBe(403);
    }
  });
});
