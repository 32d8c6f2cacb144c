import { Agent, get as httpGet } from 'node:http';
import { closeConnections } from './ingest.mjs';
import { percentile } from './stack.mjs';

const ROUNDS = 60;

/** Name, query parameters, and the same condition for SQL. */
const QUERIES = [
  ['rare pair', { data: '{"rare":"r5000"}' }, `[{"key":"rare","value":"r5000"}]`],
  ['common pair', { data: '{"type":"shoe"}' }, `[{"key":"type","value":"shoe"}]`],
  ['key only', { key: 'rare' }, `[{"key":"rare"}]`],
  ['value only', { value: 'C42' }, `[{"value":"C42"}]`],
  [
    'two pairs',
    { data: '{"type":"boot","color":"gold"}' },
    `[{"key":"type","value":"boot"},{"key":"color","value":"gold"}]`,
  ],
];

const COLUMNS = 'object_id, batch_id, seq, subject, observed_at, data::text';

/** Filtered pages of ten, with the default count and without, alternating with plain SQL that returns the same rows. */
export async function benchReads(stack) {
  await closeConnections();
  const { rows } = await stack.sql.query('SELECT count(*) FROM objects');
  console.log(`filtered pages of 10 at ${Number(rows[0].count).toLocaleString('en')} objects, p50 of ${ROUNDS}:`);
  for (const [name, parameters, pairs] of QUERIES) {
    const counted = [];
    const bare = [];
    const plainCounted = [];
    const plainBare = [];
    for (let i = 0; i < ROUNDS; i++) {
      counted.push(await get(stack, parameters));
      bare.push(await get(stack, { ...parameters, count: 'none' }));
      const page = await timed(() =>
        stack.sql.query(
          `SELECT ${COLUMNS} FROM objects WHERE project_id = $1 AND data @> $2::jsonb ORDER BY seq DESC LIMIT 11`,
          [stack.projectId, pairs],
        ),
      );
      const count = await timed(() =>
        stack.sql.query(
          `SELECT count(*) FROM (SELECT 1 FROM objects WHERE project_id = $1 AND data @> $2::jsonb LIMIT 1001) AS f`,
          [stack.projectId, pairs],
        ),
      );
      plainBare.push(page);
      plainCounted.push(page + count);
    }
    console.log(
      `  ${name.padEnd(12)} with count ${ms(counted)}, plain SQL ${ms(plainCounted)}: ${ratio(counted, plainCounted)}; ` +
        `without ${ms(bare)}, plain SQL ${ms(plainBare)}: ${ratio(bare, plainBare)}`,
    );
  }
  const old = [];
  const oldBare = [];
  for (let i = 0; i < 20; i++) {
    old.push(await get(stack, { data: '{"era":"old"}' }));
    oldBare.push(await get(stack, { data: '{"era":"old"}', count: 'none' }));
  }
  const walk = await timed(() =>
    stack.sql.query(
      `SELECT ${COLUMNS} FROM objects WHERE project_id = $1 AND data @> $2::jsonb ORDER BY seq DESC LIMIT 11`,
      [stack.projectId, `[{"key":"era","value":"old"}]`],
    ),
  );
  console.log(
    `  only the oldest objects match: with count ${ms(old)}, without ${ms(oldBare)}; plain SQL ${walk.toFixed(1)} ms`,
  );
}

async function get(stack, parameters) {
  return timed(async () => {
    const page = JSON.parse(await read(`${stack.url}/objects?${new URLSearchParams(parameters)}`, stack.adminKey));
    if (page.results?.length !== 10)
      throw new Error(`expected 10 results, got ${page.results?.length} for ${JSON.stringify(parameters)}`);
  });
}

const agent = new Agent({ keepAlive: true });

/** Uses `http.get`, because `fetch` takes as long as the smaller queries. */
function read(url, key) {
  return new Promise((resolve, reject) => {
    httpGet(url, { agent, headers: { 'X-Api-Key': key } }, (response) => {
      let text = '';
      response.setEncoding('utf8').on('data', (chunk) => (text += chunk));
      response.on('end', () => resolve(text));
    }).on('error', reject);
  });
}

async function timed(work) {
  const start = performance.now();
  await work();
  return performance.now() - start;
}

function ms(values) {
  return `${percentile(values, 0.5).toFixed(1)} ms`;
}

function ratio(measured, plain) {
  return `ratio ${(percentile(measured, 0.5) / percentile(plain, 0.5)).toFixed(2)}`;
}
