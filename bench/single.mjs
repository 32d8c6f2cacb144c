import autocannon from 'autocannon';
import { startBare } from './bare.mjs';

const CONNECTIONS = 8;
const SECONDS = 4;
const ROUNDS = 3;

/** GET of one object over 8 connections, alternating with a bare Fastify handler that runs the same SELECT through `pg`. */
export async function benchSingle(stack) {
  const { rows } = await stack.sql.query(
    'SELECT object_id FROM objects WHERE project_id = $1 ORDER BY seq DESC LIMIT 1000',
    [stack.projectId],
  );
  const ids = rows.map((row) => row.object_id);
  const bare = await startBare(stack);
  const rates = [];
  const bareRates = [];
  for (let round = 0; round < ROUNDS; round++) {
    rates.push(await load(`${stack.url}/objects/`, ids, stack.adminKey));
    bareRates.push(await load(`${bare.url}/objects/`, ids, stack.adminKey));
  }
  await bare.stop();
  const [o, t] = [Math.max(...rates), Math.max(...bareRates)];
  console.log(
    `GET of one object, ${CONNECTIONS} connections: ${Math.round(o)} requests/s, bare Fastify with pg ${Math.round(t)}: ratio ${(o / t).toFixed(2)}`,
  );
}

async function load(url, ids, key) {
  let next = 0;
  const result = await autocannon({
    url,
    connections: CONNECTIONS,
    duration: SECONDS,
    headers: { 'X-Api-Key': key },
    requests: [
      { setupRequest: (request) => ({ ...request, path: `${new URL(url).pathname}${ids[next++ % ids.length]}` }) },
    ],
  });
  if (result.non2xx > 0 || result.errors > 0)
    throw new Error(`${result.non2xx} responses were not 2xx, ${result.errors} requests failed`);
  return result.requests.average;
}
