import { get as httpGet } from 'node:http';
import { Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import autocannon from 'autocannon';
import pg from 'pg';
import { to as copyTo } from 'pg-copy-streams';
import { startBare } from './bare.mjs';
import { linesOf } from './question-data.mjs';
import { countForms, FILTERS, pageForms } from './question-filters.mjs';
import { send } from './send.mjs';
import { percentile, residentBytes } from './stack.mjs';

const OBJECTS = Number(process.env.BENCH_OBJECTS ?? 1_000_000);
const BATCH = 5_000;
const CONNECTIONS = 8;
const ROUNDS = 3;
/** The time of one way of a filter in one round, as estimated from its first responses. */
const ROUND_MS = 1_000;
/** V8 compiles the code of a server until it has served some thousand requests. */
const WARM_SECONDS = 5;
const DEEP_PAGES = 200;

const SORTS = [
  ['sort=-data.price', { sort: '-data.price' }],
  ['sort=-data.price of 5 %', { sort: '-data.price', data: '{"status":"held"}' }],
];
const FACETS = [
  ['facet of 12 values', '/objects/facets', { key: 'type' }],
  ['facet of 1,000 values', '/objects/facets', { key: 'supplier' }],
  ['facet of 12 values under 5 %', '/objects/facets', { key: 'type', data: '{"status":"held"}' }],
  ['keys in use', '/objects/keys', {}],
];

/**
 * Filtered pages, facets, sorts and the export, each beside plain SQL. BENCH_QUESTIONS selects the rows whose names contain it.
 * Rows that the server does not support are skipped by name.
 */
export async function benchQuestions(stack) {
  await loadObjects(stack);
  await printPages(stack);
  const others = [
    ...SORTS.map(([name, parameters]) => [name, '/objects', { ...parameters, count: 'none' }]),
    ...FACETS,
  ].filter(isWanted);
  if (others.length > 0) console.log('p50 (p99) at 1 connection and at 8:');
  for (const [name, path, parameters] of others) await printOther(stack, name, path, parameters);
  for (const [name, parameters] of [
    ['deep pages', {}],
    ['deep pages of 5 %', { data: '{"status":"held"}' }],
  ].filter(isWanted))
    await printDeepPages(stack, name, parameters);
  if (isWanted(['export'])) await printExport(stack);
  if (isWanted(['size on disk'])) await printSizes(stack);
}

function isWanted([name]) {
  return name.includes(process.env.BENCH_QUESTIONS ?? '');
}

/** Stores the batches that a kept table does not have yet, one after the other, so that the objects arrive in order. */
export async function loadObjects({ sql, projectId, ...stack }) {
  if (OBJECTS % BATCH !== 0) throw new Error(`BENCH_OBJECTS must be a multiple of ${BATCH}`);
  const prefix = `questions-${OBJECTS}-`;
  const { rows } = await sql.query(
    `SELECT count(*) FILTER (WHERE starts_with(batch_id, $2)) AS stored, count(*) AS batches FROM batches WHERE project_id = $1`,
    [projectId, prefix],
  );
  const [stored, batches] = [Number(rows[0].stored), Number(rows[0].batches)];
  if (stored !== batches) throw new Error('the table has other objects; use another folder for BENCH_KEEP');
  const start = performance.now();
  for (let batch = stored; batch < OBJECTS / BATCH; batch++) {
    const lines = Buffer.from(linesOf(batch * BATCH, BATCH, OBJECTS));
    await send(stack, 'PUT', `/batches/${prefix}${String(batch).padStart(6, '0')}`, 'application/x-ndjson', lines);
  }
  const seconds = (performance.now() - start) / 1000;
  const added = OBJECTS - stored * BATCH;
  if (added === 0) return;
  console.log(`loaded ${format(added)} objects at ${format(added / seconds)} objects/s`);
  await sql.query(`SELECT gin_clean_pending_list('objects_data_idx')`);
  await sql.query('VACUUM ANALYZE');
}

/** Pages of 10 without and with the default count, in turns with a bare Fastify handler. */
async function printPages(stack) {
  const questions = [];
  for (const filter of FILTERS.filter(({ name }) => isWanted([name]))) {
    const error = await errorOf(stack, pathOf('/objects', filter.parameters));
    if (error !== null) console.log(`  ${filter.name}: skipped, ${error}`);
    else {
      const [page, count] = [await quickest(stack, pageForms(filter)), await quickest(stack, countForms(filter))];
      questions.push({ ...filter, page, count });
    }
  }
  if (questions.length === 0) return;
  const bare = await startBare({ ...stack, pages: questions });
  console.log(
    `pages of 10 at ${format(OBJECTS)} objects, ${CONNECTIONS} connections, p50 (p99) in ms: ` +
      'without a count, bare Fastify, ratio; with the default count, bare Fastify, ratio; with to without a count',
  );
  try {
    for (const url of [`${stack.url}/objects`, `${bare.url}/pages/0`])
      await autocannon({
        url,
        connections: CONNECTIONS,
        duration: WARM_SECONDS,
        headers: { 'X-Api-Key': stack.adminKey },
      });
    for (const [index, { name, parameters }] of questions.entries()) {
      const bareUrl = `${bare.url}/pages/${index}`;
      await requireEqualPages(stack, name, pathOf('/objects', parameters), bareUrl);
      const [none, bareNone, count, bareCount] = await inTurns(stack, [
        `${stack.url}${pathOf('/objects', { ...parameters, count: 'none' })}`,
        `${bareUrl}?count=none`,
        `${stack.url}${pathOf('/objects', parameters)}`,
        bareUrl,
      ]);
      console.log(
        `  ${name.padEnd(33)} ${times(none)}, ${times(bareNone)}, ${ratio(none, bareNone)}; ` +
          `${times(count)}, ${times(bareCount)}, ${ratio(count, bareCount)}; ${ratio(count, none)}`,
      );
    }
  } finally {
    await bare.stop();
  }
}

/** Returns the form of a statement that is quickest when it runs alone. */
async function quickest({ sql, projectId }, forms) {
  let best = { ms: Infinity, form: forms[0] };
  for (const form of forms) {
    const runs = [];
    while (runs.length < 3 && (runs.at(-1) ?? 0) < 1_000) runs.push(await timed(() => sql.query(form, [projectId])));
    const ms = Math.min(...runs);
    if (ms < best.ms) best = { ms, form };
  }
  return best.form;
}

/** @throws Error unless the product and the bare handler return the same objects */
async function requireEqualPages(stack, name, path, bareUrl) {
  const idsOf = (text) => JSON.parse(text).results.map((result) => result.object_id);
  const [ids, bareIds] = [
    idsOf(await send(stack, 'GET', path)),
    idsOf(await send({ ...stack, url: bareUrl }, 'GET', '')),
  ];
  if (ids.join() !== bareIds.join()) throw new Error(`${name}: the product returns ${ids}, plain SQL ${bareIds}`);
}

/** Sends requests to each URL in turns. @returns the response times of each in milliseconds */
async function inTurns({ adminKey }, urls, connections = CONNECTIONS) {
  const all = urls.map(() => []);
  const amounts = [];
  for (const url of urls) {
    await load(url, adminKey, connections, connections);
    const ms = await timed(() => load(url, adminKey, connections, 2 * connections));
    amounts.push(Math.max(2 * connections, Math.round((ROUND_MS / ms) * 2 * connections)));
  }
  for (let round = 0; round < ROUNDS; round++) {
    for (const [index, url] of urls.entries())
      all[index].push(...(await load(url, adminKey, connections, amounts[index])));
  }
  return all;
}

async function load(url, key, connections, amount) {
  const responseTimes = [];
  const run = autocannon({ url, connections, amount, timeout: 120, headers: { 'X-Api-Key': key } });
  run.on('response', (_client, _status, _bytes, ms) => responseTimes.push(ms));
  const { non2xx, errors } = await run;
  if (non2xx > 0 || errors > 0) throw new Error(`${url}: ${non2xx} responses were not 2xx, ${errors} requests failed`);
  return responseTimes;
}

async function printOther(stack, name, path, parameters) {
  const error = await errorOf(stack, pathOf(path, parameters));
  if (error !== null) {
    console.log(`  ${name}: skipped, ${error}`);
    return;
  }
  const url = `${stack.url}${pathOf(path, parameters)}`;
  const [[alone], [together]] = [await inTurns(stack, [url], 1), await inTurns(stack, [url])];
  console.log(`  ${name.padEnd(33)} ${times(alone)}, ${times(together)}`);
}

/** Follows `next`, over one connection. */
async function printDeepPages(stack, name, parameters) {
  const ms = [];
  let path = pathOf('/objects', parameters);
  for (let page = 0; page < DEEP_PAGES && path !== null; page++) {
    let next = null;
    ms.push(await timed(async () => ({ next } = JSON.parse(await send(stack, 'GET', path)))));
    path = next?.slice(stack.url.length) ?? null;
  }
  const [first, last] = [ms.slice(0, 20), ms.slice(-20)];
  console.log(`  ${name.padEnd(33)} pages 1 to 20 ${times(first)}, the last 20 of ${ms.length} ${times(last)}`);
}

/** The export as NDJSON and as Parquet, and COPY of the column `data` over a connection. */
async function printExport(stack) {
  for (const fileFormat of ['ndjson', 'parquet']) await printExportAs(stack, fileFormat);
}

async function printExportAs(stack, fileFormat) {
  const path = `/objects/export?format=${fileFormat}`;
  const error = await errorOf(stack, path);
  if (error !== null) {
    console.log(`  export of ${fileFormat}: skipped, ${error}`);
    return;
  }
  let memory = 0;
  const sampler = setInterval(async () => (memory = Math.max(memory, await residentBytes(stack.serverPid))), 50);
  const ms = await timed(() => drain(`${stack.url}${path}`, stack.adminKey));
  clearInterval(sampler);
  const client = new pg.Client(stack.address);
  await client.connect();
  const copy = `COPY (SELECT data FROM objects WHERE project_id = ${Number(stack.projectId)} ORDER BY seq) TO STDOUT`;
  const copyMs = await timed(() => pipeline(client.query(copyTo(copy)), ignore()));
  await client.end();
  const rate = (duration) => format(OBJECTS / (duration / 1000));
  console.log(
    `  export of ${fileFormat}: ${rate(ms)} objects/s, COPY ${rate(copyMs)}: ratio ${(copyMs / ms).toFixed(2)}; ` +
      `resident memory at most ${Math.round(memory / 1e6)} MB`,
  );
}

function drain(url, key) {
  return new Promise((resolve, reject) => {
    httpGet(url, { headers: { 'X-Api-Key': key } }, (response) => {
      pipeline(response, ignore()).then(resolve, reject);
    }).on('error', reject);
  });
}

function ignore() {
  return new Writable({ write: (_chunk, _encoding, done) => done() });
}

async function printSizes({ sql }) {
  const { rows } = await sql.query(`
    SELECT t.relname AS name, pg_table_size(t.oid) AS bytes, ARRAY(
      SELECT json_build_object('name', i.indexrelid::regclass, 'bytes', pg_relation_size(i.indexrelid))
      FROM pg_index AS i WHERE i.indrelid = t.oid ORDER BY pg_relation_size(i.indexrelid) DESC
    ) AS indexes
    FROM pg_class AS t
    WHERE t.relkind = 'r' AND t.relnamespace = 'public'::regnamespace AND pg_total_relation_size(t.oid) > 1e6
    ORDER BY pg_total_relation_size(t.oid) DESC`);
  const megabytes = (bytes) => `${((Number(bytes) / 1e6) * (1e6 / OBJECTS)).toFixed(0)} MB`;
  const total = rows.reduce((sum, { bytes, indexes }) => indexes.reduce((a, i) => a + i.bytes, sum + Number(bytes)), 0);
  console.log(`size on disk per million objects: ${megabytes(total)}`);
  for (const { name, bytes, indexes } of rows)
    console.log(
      `  ${[`${name} ${megabytes(bytes)}`, ...indexes.map((i) => `${i.name} ${megabytes(i.bytes)}`)].join(', ')}`,
    );
}

/** What the server responds to a request that it does not support; null for one that it does. */
async function errorOf(stack, path) {
  return new Promise((resolve, reject) => {
    httpGet(`${stack.url}${path}`, { headers: { 'X-Api-Key': stack.adminKey } }, (response) => {
      const { statusCode: status } = response;
      if (status < 300) {
        response.destroy();
        resolve(null);
      } else if (status === 400 || status === 404) {
        response.resume();
        resolve(`the server responds ${status}`);
      } else reject(new Error(`${path}: the server responds ${status}`));
    }).on('error', reject);
  });
}

function pathOf(path, parameters) {
  const query = new URLSearchParams(parameters).toString();
  return query === '' ? path : `${path}?${query}`;
}

async function timed(work) {
  const start = performance.now();
  await work();
  return performance.now() - start;
}

function times(values) {
  return `${percentile(values, 0.5).toFixed(2)} (${percentile(values, 0.99).toFixed(1)})`;
}

function ratio(measured, other) {
  return (percentile(measured, 0.5) / percentile(other, 0.5)).toFixed(2);
}

function format(number) {
  return Math.round(number).toLocaleString('en');
}
