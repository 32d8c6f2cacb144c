/**
 * Two equal routes, of which one needs a key: the difference of their times is what authentication adds to a request. The
 * guard, the limits and the database are those of the product, in a process of its own.
 */
import 'reflect-metadata';
import { createHmac } from 'node:crypto';
import { AccessModule, Authentication, KeyCache, KeySecret } from '#access';
import { openInstallation } from '#database';
import { RateLimits } from '#limits';
import { Config } from '#platform';
import { NestFactory } from '@nestjs/core';
import { fastify as createFastify } from 'fastify';
import { ENTITIES } from '../dist/apps/entities.js';
import { FoundationModule } from '../dist/apps/foundation.module.js';
import { percentile } from './stack.mjs';

const { dataDir, projectId, keys } = JSON.parse(process.env.GUARD);
const quiet = { log() {}, warn: console.error, error: console.error };

class GuardModule {}

// With limits, as behind DATABASE_URL, but none that is reached.
const config = new Config({ STOWAGE_DATA_DIR: dataDir, RATE_LIMIT_ITEMS_PER_MINUTE: '1000000000' });
const installation = await openInstallation({
  config,
  entities: ENTITIES,
  logger: quiet,
  leasesLane: false,
  say: () => undefined,
});
const app = await NestFactory.createApplicationContext(
  { module: GuardModule, imports: [FoundationModule.of(config, installation), AccessModule] },
  { logger: false },
);
await insertKeys(installation.database, app.get(KeySecret));
app.get(KeyCache).listen();

const server = createFastify();
/** Microseconds that the guard took. */
let times = [];
server.addHook('onRequest', (request, _reply, done) => {
  request.startedAt = performance.now();
  done();
});
app.get(RateLimits).guard(server);
app.get(Authentication).guard(server);
server.addHook('onRequest', (request, _reply, done) => {
  times.push((performance.now() - request.startedAt) * 1_000);
  done();
});
server.get('/api/v1/open', { config: { roles: 'anyone' } }, () => ({ ok: true }));
server.get('/api/v1/guarded', { config: { roles: ['analyst'] } }, () => ({ ok: true }));
/** The times of the guard since the last call. */
server.get('/times', () => {
  const result = { p50: percentile(times, 0.5), p99: percentile(times, 0.99) };
  times = [];
  return result;
});
console.log(await server.listen({ port: 0, host: '127.0.0.1' }));

process.once('SIGTERM', async () => {
  await server.close();
  await app.close();
  await installation.close();
});

/** Stores keys as `bench/guard.mjs` names them. */
async function insertKeys(database, secret) {
  for (let first = 1; first <= keys; first += 10_000) {
    const numbers = Array.from({ length: 10_000 }, (_, i) => first + i);
    const hashes = numbers.map((n) => createHmac('sha256', secret.value).update(keyOf(n)).digest());
    await database.query(
      `INSERT INTO api_keys (key_id, project_id, role, name, prefix, hash, secret_id)
       SELECT n, $1, 'analyst', 'bench', 'bench', h, $2 FROM unnest($3::bigint[], $4::bytea[]) AS t (n, h)`,
      [projectId, secret.id, numbers, hashes],
    );
  }
  await database.query('ANALYZE api_keys');
}

function keyOf(number) {
  return `bench-key-of-more-than-32-characters-${number}`;
}
