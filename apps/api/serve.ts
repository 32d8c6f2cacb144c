import { API, TlsHandshakes } from '#http';
import { nestLog, type Config } from '#platform';
import { Telemetry } from '#telemetry';
import { openEmbedded, openInstallation, type EmbeddedPostgres, type Installation } from '#database';
import { QuotaStore } from '#usage';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import { createApp } from './create-app.js';
import { ENTITIES } from '../entities.js';
import { FirstStart, type FirstKeys } from './first-start.js';
import { listen } from './listen.js';

/** Requests in progress get this long to finish when the server stops; the whole stop takes less than 10 s. */
const DRAIN_MS = 5_000;
const SWEEP_MS = 50;

/** A server that accepts requests. */
export interface RunningServer {
  url: string;
  /** The URL of METRICS_PORT; null without it. */
  metricsUrl: string | null;
  /** What the user reads when the server is ready: the keys of the first start, and its URL on the last line. */
  welcome: string[];
  /** For tests that set its clock. */
  app: NestFastifyApplication;
  /** Finishes the requests in progress, then closes the database. Idempotent. */
  stop(): Promise<void>;
}

/**
 * Starts the database and the server, and reports each step.
 * @param signal ends the wait for another process that changes the database
 * @param embedded the embedded database, which starts while this module is loaded
 * @throws StartupError
 */
export async function serve(
  config: Config,
  say: (line: string) => void,
  signal?: AbortSignal,
  embedded: Promise<EmbeddedPostgres | undefined> = openEmbedded(config, say),
): Promise<RunningServer> {
  const telemetry = await startTelemetry(config, say, embedded);
  const logger = nestLog(telemetry.log);
  const options = { leasesLane: true, createsDatabase: true, usesReplica: true, embedded, say };
  let installation: Installation | undefined;
  let app: NestFastifyApplication | undefined;
  try {
    installation = await openInstallation({ config, entities: ENTITIES, logger, telemetry, ...options, signal });
    await installation.diskReserve.start();
    app = await createApp(config, { ...installation, telemetry });
    await app.get(QuotaStore).applyDefaults();
    const keys = await app.get(FirstStart).run(say, signal);
    const handshakes = new TlsHandshakes(app.getHttpServer(), config.http.tls !== null);
    const url = await listen(app, config.http);
    const stop = stopOnce({ app, installation, handshakes }, telemetry);
    return { url, metricsUrl: telemetry.metricsUrl, welcome: welcomeLines(url, keys), app, stop };
  } catch (error) {
    // The application may run jobs already, which hold connections.
    await app?.close();
    await installation?.close();
    await telemetry.stop();
    throw error;
  }
}

/** Stops the embedded database where this fails: nothing uses it yet. */
async function startTelemetry(
  config: Config,
  say: (line: string) => void,
  embedded: Promise<EmbeddedPostgres | undefined>,
): Promise<Telemetry> {
  try {
    return await Telemetry.start(config, 'stowage', say);
  } catch (error) {
    await embedded.then(
      (opened) => opened?.stopIfUnused(),
      () => undefined,
    );
    throw error;
  }
}

interface Parts {
  app: NestFastifyApplication;
  installation: Installation;
  handshakes: TlsHandshakes;
}

function stopOnce(parts: Parts, telemetry: Telemetry): () => Promise<void> {
  let stopping: Promise<void> | undefined;
  return () => (stopping ??= stop(parts).then(() => telemetry.stop()));
}

async function stop({ app, installation, handshakes }: Parts): Promise<void> {
  const server = app.getHttpServer();
  // app.close() closes the connections that are idle now. One that becomes idle later would wait for its next request.
  const sweep = setInterval(() => {
    server.closeIdleConnections();
    if (!server.listening) handshakes.close();
  }, SWEEP_MS);
  const cutOff = setTimeout(() => {
    server.closeAllConnections();
    installation.database.closeActiveConnections();
    installation.readDatabase.closeActiveConnections();
  }, DRAIN_MS);
  await app.close();
  clearInterval(sweep);
  await installation.close();
  clearTimeout(cutOff);
}

/** The last line reports that the server is ready, so that a program that waits for it has seen the others. */
function welcomeLines(url: string, { admin, operator }: FirstKeys): string[] {
  return [
    '',
    ...(admin === undefined ? [] : [`admin key of project default: ${admin}`]),
    ...(operator === undefined ? [] : [`operator key:                 ${operator}`]),
    ...(admin === undefined && operator === undefined ? [] : ['Each start prints them until one of them is used.', '']),
    ...(admin === undefined ? [] : ['Three requests to paste:', ...requestsToPaste(url, admin), '']),
    `Stowage is ready: ${url}${API}/ (browse at ${url}/browse, reference at ${url}/docs)`,
  ];
}

function requestsToPaste(url: string, adminKey: string): string[] {
  const key = `-H 'X-Api-Key: ${adminKey}'`;
  const batch = '{"batch_id":"hello","objects":[{"object_id":"hello-1","data":{"type":"shoe","size":42}}]}';
  return [
    `  curl -s ${key} -H 'Content-Type: application/json' -d '${batch}' ${url}${API}/batches`,
    `  curl -s ${key} -G ${url}${API}/objects --data-urlencode 'data={"type":"shoe","size":42}'`,
    `  curl -s ${key} -X DELETE '${url}${API}/batches/hello?cascade=true' -w '%{http_code}\\n'`,
  ];
}
