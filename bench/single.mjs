import autocannon from 'autocannon';
import { startBare } from './bare.mjs';

const CONNECTIONS = 8;
const SECONDS = 4;
const ROUNDS = 3;

/** One object by its id at 8 connections, in turns with a bare Fastify handler that does the same SELECT through `pg`. */
export async function benchSingle(stack) {
  const { rows } = await stack.sql.query(
    'SELECT object_id FROM objects WHERE project_id = $1 ORDER BY seq DESC LIMIT 1000',
    [stack.projectId],
  );
  const ids = rows.map((row) => row.object_id);
  const bare = await startBare(stack);
  const ours = [];
  const theirs = [];
  for (let round = 0; round < ROUNDS; round++) {
    ours.push(await load(`${stack.url}/objects/`, ids, stack.adminKey));
    theirs.push(await load(`${bare.url}/objects/`, ids, stack.adminKey));
  }
  await bare.stop();
  const [o, t] = [Math.max(...ours), Math.max(...theirs)];
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
    throw new Error(`${result.non2xx} answers were not 2xx, ${result.errors} failed`);
  return result.requests.average;
}
