/**
 * Writes docs/stowage.postman_collection.json from the OpenAPI document: `npm run build && node docs/postman.mjs`, or
 * `node docs/postman.mjs http://127.0.0.1:8000` from a server that runs. Run it when a route has changed; a test tells.
 */
import 'reflect-metadata';
import { writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { NestFactory } from '@nestjs/core';
import { format, resolveConfig } from 'prettier';
import { postmanCollection } from './postman-collection.mjs';

const FILE = fileURLToPath(new URL('stowage.postman_collection.json', import.meta.url));

const [origin] = process.argv.slice(2);
const document = origin === undefined ? await builtDocument() : await servedDocument(origin);
const text = JSON.stringify(postmanCollection(document));
await writeFile(FILE, await format(text, { ...(await resolveConfig(FILE)), filepath: FILE }));
console.log(`wrote ${FILE}`);

/** From dist, in Nest's preview, which looks at the classes and makes none: it needs no database. */
async function builtDocument() {
  const { ApiModule } = await import('../dist/apps/api/api.module.js');
  const { createOpenApi } = await import('../dist/apps/api/openapi.js');
  const { Config, createHttpAdapter, createLog } = await import('../dist/libs/platform/src/index.js');
  const config = new Config({
    DATABASE_URL: 'postgresql://never-connected-to',
    STOWAGE_KEY_SECRET: 'never used, and at least 32 characters',
  });
  const app = await NestFactory.create(
    ApiModule.of(config, { database: {}, sequence: {} }),
    createHttpAdapter(config, createLog('silent')),
    { preview: true, logger: false, abortOnError: false },
  );
  return createOpenApi(app);
}

async function servedDocument(origin) {
  const response = await globalThis.fetch(new URL('/openapi.json', origin));
  if (!response.ok) throw new Error(`${response.url} answered ${response.status}`);
  return response.json();
}
