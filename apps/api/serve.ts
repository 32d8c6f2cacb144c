import { API } from '#http';
import { createLog, nestLog, StartupError, type Config } from '#platform';
import { openInstallation, type Installation } from '#database';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import { createApp } from './create-app.js';
import { FirstStart, type MadeKeys } from './first-start.js';
import { ENTITIES } from '../entities.js';

/** What is under way gets this long to finish when the server is told to stop; the whole stop takes under 10 s. */
const DRAIN_MS = 5_000;
const SWEEP_MS = 50;

/** A server that listens, and how to stop it. */
export interface RunningServer {
  url: string;
  /** For tests that set its clock. */
  app: NestFastifyApplication;
  /** Finishes what is under way, then closes the database. Idempotent. */
  stop(): Promise<void>;
}

/** Starts the server and all it needs, saying each step. @throws StartupError */
export async function serve(config: Config, say: (line: string) => void): Promise<RunningServer> {
  const log = createLog(config.log.level);
  const logger = nestLog(log);
  const installation = await openInstallation({ config, entities: ENTITIES, logger, say });
  let app: NestFastifyApplication | undefined;
  try {
    app = await createApp(config, installation, log);
    const made = await app.get(FirstStart).run(say);
    const url = await listen(app, config);
    for (const line of welcome(url, made)) say(line);
    return { url, app, stop: stopOnce(app, installation) };
  } catch (error) {
    // It may run jobs already, which hold connections.
    await app?.close();
    await installation.close();
    throw error;
  }
}

async function listen(app: NestFastifyApplication, { http: { host, port } }: Config): Promise<string> {
  try {
    await app.listen(port, host);
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    if (code === 'EADDRINUSE')
      throw new StartupError(`PORT ${String(port)} on ${host} is in use; set PORT to another`, { cause });
    if (code === 'EACCES')
      throw new StartupError(`PORT ${String(port)} needs rights that this user has not; set PORT to one over 1023`, {
        cause,
      });
    if (code === 'EADDRNOTAVAIL' || code === 'ENOTFOUND')
      throw new StartupError(`HOST ${host} is not an address of this machine`, { cause });
    throw cause;
  }
  return (await app.getUrl()).replace('[::1]', 'localhost');
}

function stopOnce(app: NestFastifyApplication, installation: Installation): () => Promise<void> {
  let stopping: Promise<void> | undefined;
  return () => (stopping ??= stop(app, installation));
}

async function stop(app: NestFastifyApplication, installation: Installation): Promise<void> {
  const server = app.getHttpServer();
  // Node.js closes what is idle now; a connection that falls idle later would be kept open for its next request.
  const sweep = setInterval(() => {
    server.closeIdleConnections();
  }, SWEEP_MS);
  const cutOff = setTimeout(() => {
    server.closeAllConnections();
    installation.database.breakOff();
  }, DRAIN_MS);
  await app.close();
  clearInterval(sweep);
  await installation.close();
  clearTimeout(cutOff);
}

/** The last line says that it is ready, so that whoever waits for it has seen the rest. */
function welcome(url: string, { admin, operator }: MadeKeys): string[] {
  return [
    ...(admin === undefined ? [] : ['', `admin key of the project default, shown this once: ${admin}`]),
    ...(operator === undefined ? [] : [`operator key, shown this once:                     ${operator}`]),
    ...(admin === undefined ? [] : ['', 'Three requests to paste:', ...requestsToPaste(url, admin), '']),
    `Stowage is ready: ${url}${API}/ (reference at ${url}/docs)`,
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
