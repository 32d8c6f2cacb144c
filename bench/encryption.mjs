import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import autocannon from 'autocannon';
import { percentile, startStack } from './stack.mjs';

const BATCH = 5_000;
const TURNS = 8;
const CONNECTIONS = 8;
const SECONDS = 3;
const ROUNDS = 2;

/**
 * What encrypted keys cost, on two servers of its own: batches of objects of five pairs, of which one is encrypted, pages of 100 of them, and
 * single objects, in turns with a project without a list, and with one of a server without a data key.
 */
export async function benchEncryption({ folder }) {
  const without = await startStack(join(folder, 'without-data-key'));
  const stack = await startStack(join(folder, 'with-data-key'), { STOWAGE_DATA_KEY: randomBytes(32).toString('hex') });
  try {
    const projects = [await createProject(without), await createProject(stack), await createProject(stack, ['name'])];
    // So that both servers have as much to do in the background.
    const twin = await createProject(without);
    await benchIngest(projects, twin);
    await Promise.all([waitForIndex(without), waitForIndex(stack)]);
    await benchReads(projects, 'a page of 100 objects', '/objects?page_size=100&count=none');
    await benchReads(projects, 'one object', '/objects/1-7');
  } finally {
    await stack.stop();
    await without.stop();
  }
}

async function waitForIndex({ sql }) {
  const pending = async () => (await sql.query('SELECT FROM index_pending LIMIT 1')).rows.length > 0;
  while (await pending()) await sleep(100);
}

async function benchIngest(projects, twin) {
  const all = [twin, ...projects];
  const times = all.map(() => []);
  for (let turn = 0; turn <= TURNS; turn++) {
    // The index is worked on after every fourth batch of a server, so that always the same project would have it.
    const order = [...all.entries()];
    if (turn % 4 >= 2) order.reverse();
    for (const [index, project] of order) {
      const body = batchText(turn);
      const startMs = performance.now();
      await post(project, '/batches', body);
      // The first turn warms up.
      if (turn > 0) times[index].push(performance.now() - startMs);
    }
  }
  times.shift();
  const rates = times.map((list) => BATCH / (percentile(list, 0.5) / 1000));
  print(`POST of ${BATCH}-object batches, objects/s`, rates);
}

async function benchReads(projects, what, path) {
  const rates = projects.map(() => []);
  for (let round = 0; round < ROUNDS; round++)
    for (const [index, project] of projects.entries()) rates[index].push(await load(project, path));
  const best = rates.map((list) => Math.max(...list));
  print(`GET of ${what} over ${CONNECTIONS} connections, requests/s`, best);
}

function print(what, [without, plain, sealed]) {
  const text = (rate) => Math.round(rate).toLocaleString('en');
  console.log(
    `${what}: without a data key ${text(without)}, without a list ${text(plain)}: ratio ${(plain / without).toFixed(2)}; ` +
      `with an encrypted key ${text(sealed)}: ratio ${(sealed / plain).toFixed(2)}`,
  );
}

async function createProject({ url, operatorKey }, keys) {
  const operator = { url, key: operatorKey };
  const body = { name: `bench ${Math.random()}`, encrypted_keys: keys };
  const { project_id: id } = await post(operator, '/projects', JSON.stringify(body));
  const { key } = await post(operator, `/projects/${id}/keys`, JSON.stringify({ name: 'bench', role: 'admin' }));
  return { url, key };
}

function batchText(turn) {
  const objects = Array.from({ length: BATCH }, (_, index) => ({
    object_id: `${turn}-${index}`,
    data: [
      { key: 'type', value: ['shoe', 'boot', 'hat'][index % 3] },
      { key: 'name', value: `Person ${index} of the town of ${turn}` },
      { key: 'cost', value: index / 100 },
      { key: 'size', value: 36 + (index % 12) },
      { key: 'in_stock', value: index % 2 === 0 },
    ],
  }));
  return JSON.stringify({ batch_id: `b${turn}`, objects });
}

async function post({ url, key }, path, body) {
  const headers = { 'X-Api-Key': key, 'Content-Type': 'application/json' };
  const response = await fetch(url + path, { method: 'POST', headers, body });
  if (response.status !== 201) throw new Error(await response.text());
  return response.json();
}

async function load({ url, key }, path) {
  const result = await autocannon({
    url: url + path,
    connections: CONNECTIONS,
    duration: SECONDS,
    headers: { 'X-Api-Key': key },
  });
  if (result.non2xx > 0 || result.errors > 0) throw new Error(`${result.non2xx} responses were not 2xx`);
  return result.requests.average;
}
