import { appendFileSync, statSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { setImmediate as turnOfEventLoop } from 'node:timers/promises';
import type { Role } from '#http';
import { RUN } from './run.js';
import { createDatabase, dropDatabase, Tables, urlOf, type TestTables } from './tables.js';

/** A response with its complete body. */
export interface Reply {
  status: number;
  headers: Headers;
  text: string;
  /** Parses the body as JSON of a type that the test expects. */
  // eslint-disable-next-line @typescript-eslint/no-unnecessary-type-parameters -- a cast at the only place where JSON is parsed
  json: <T = unknown>() => T;
}

export interface CallOptions {
  key?: string | undefined;
  /** Text and bytes are sent unchanged, other values as JSON. */
  body?: unknown;
  headers?: Record<string, string>;
}

/** A project for one test, with a key for each role. */
export interface TestProject {
  projectId: number;
  /** The device of the key with the role device. */
  deviceId: string;
  keys: Record<Exclude<Role, 'operator'>, string>;
}

/** The data that `test/harness/servers.mjs` returns for a server. */
interface StartedServer {
  id: string;
  origin: string;
  printedLines: string[];
  routes: string;
}

/** Of the keys in settings. */
const KEY_LENGTH_MIN = 32;

/** A line of the log of a server, with pino's level. */
export interface LogLine extends Record<string, unknown> {
  level: number;
  msg?: string;
  request_id?: string;
  route?: string;
  status?: number;
}

/** A server and its client. Does not import the product, which would take seconds in each spec. */
export class TestApi {
  readonly operatorKey = RUN.operatorKey;
  /** The size of the log of all servers, in bytes, when this client was created. */
  private readonly logStart = statSync(RUN.log).size;

  protected constructor(
    readonly origin: string,
    readonly db: TestTables,
    readonly stop: () => Promise<void>,
    private readonly server?: StartedServer,
  ) {}

  /**
   * The server that all specs share, with default settings and `WORKER=inline`. Each test creates its own projects. A test
   * that changes a setting, the definition of a table or the rows of all projects uses `start` instead.
   */
  static async shared(): Promise<TestApi> {
    const server = await command<StartedServer>('GET', '/shared');
    const tables = new Tables({ ...RUN.postgres, database: RUN.sharedDatabase });
    return new TestApi(server.origin, tables, () => tables.close(), server);
  }

  /** Starts a server for one spec, with its own database. */
  static async start(settings: Record<string, string> = {}): Promise<TestApi> {
    const address = await createDatabase();
    const tables = new Tables(address);
    try {
      const server = await startServer(tables, settings);
      const stop = async (): Promise<void> => {
        await command('DELETE', `/servers/${server.id}`);
        await tables.close();
        await dropDatabase(address);
      };
      return new TestApi(server.origin, tables, stop, server);
    } catch (error) {
      await tables.close();
      await dropDatabase(address);
      throw error;
    }
  }

  /** Starts another server on the same database. It must be stopped before this one. */
  another(settings: Record<string, string> = {}): Promise<TestApi> {
    return TestApi.startOn(this.db, settings);
  }

  /** Starts a server on a database that the spec drops itself. */
  static async startOn(tables: TestTables, settings: Record<string, string> = {}): Promise<TestApi> {
    const server = await startServer(tables, settings);
    return new TestApi(server.origin, tables, () => command('DELETE', `/servers/${server.id}`), server);
  }

  /** The lines that the server printed when it started. */
  get printedLines(): readonly string[] {
    return this.started.printedLines;
  }

  /** The lines that the server has logged since this client was created. */
  log(): Promise<LogLine[]> {
    return this.logWith(`"server":"${this.started.id}"`);
  }

  /**
   * The lines with a text that any server has logged since this client was created. All servers are in one process, where the messages
   * of Nest's loggers have the id of the server that was started last, which may be one of another spec.
   */
  logWith(part: string): Promise<LogLine[]> {
    return logLinesWith(part, this.logStart);
  }

  /** Fastify's route tree, as text. */
  get routes(): string {
    return this.started.routes;
  }

  /**
   * Fixes the current time of the server; null restores the clock. Not for the shared server. @param micros microseconds since
   * 1970
   */
  async setClock(micros: number | null): Promise<void> {
    await command('PUT', `/servers/${this.started.id}/clock`, { micros });
  }

  /** Creates a project, or uses an existing one, and creates its keys. @param name the name of an existing project */
  async project(name?: string): Promise<TestProject> {
    const projectId = name === undefined ? await this.createProject() : await this.findProject(name);
    const createKey = async (role: Role): Promise<string> =>
      (
        await this.create<{ key: string }>(`/projects/${String(projectId)}/keys`, this.operatorKey, {
          name: role,
          role,
        })
      ).key;
    const deviceId = `device-${String(projectId)}`;
    // Sequentially, because lists return them in this order.
    const [admin, producer, analyst] = [
      await createKey('admin'),
      await createKey('producer'),
      await createKey('analyst'),
    ];
    const { key: device } = await this.create<{ key: string }>('/devices', admin, { device_id: deviceId });
    return { projectId, deviceId, keys: { admin, producer, analyst, device } };
  }

  /**
   * Accepts no compression by default, which `fetch` would do: then lengths and ETags are those of the text.
   * @param path relative to /api/v1, or an absolute URL that the API returned
   */
  async call(method: string, path: string, { key, body, headers = {} }: CallOptions = {}): Promise<Reply> {
    const isRaw = typeof body === 'string' || body instanceof Uint8Array;
    const url = path.startsWith('http') ? path : `${this.origin}/api/v1${path}`;
    const response = await send(url, {
      method,
      headers: {
        'Accept-Encoding': 'identity',
        ...(key === undefined ? {} : { 'X-Api-Key': key }),
        ...(body === undefined ? {} : { 'Content-Type': 'application/json' }),
        ...headers,
      },
      ...(body === undefined ? {} : { body: isRaw ? (body as string) : JSON.stringify(body) }),
      redirect: 'manual',
    });
    const text = await response.text();
    if (response.status === 201) recordKey(text);
    if (hasKey(key, text, response.headers)) throw new Error(`the response to ${method} ${path} contains the key`);
    return { status: response.status, headers: response.headers, text, json: () => JSON.parse(text) as never };
  }

  private get started(): StartedServer {
    if (this.server === undefined) throw new Error('this server was started in the process of the spec');
    return this.server;
  }

  private async createProject(): Promise<number> {
    const name = `project-${Math.random().toString(36)}`;
    return (await this.create<{ project_id: number }>('/projects', this.operatorKey, { name })).project_id;
  }

  private async findProject(name: string): Promise<number> {
    const reply = await this.call('GET', '/projects', { key: this.operatorKey });
    const { results } = reply.json<{ results: { project_id: number; name: string }[] }>();
    const found = results.find((one) => one.name === name);
    if (found === undefined) throw new Error(`there is no project ${name}: ${reply.text}`);
    return found.project_id;
  }

  private async create<T>(path: string, key: string, body: object): Promise<T> {
    const reply = await this.call('POST', path, { key, body });
    if (reply.status !== 201) throw new Error(`POST ${path}: ${String(reply.status)} ${reply.text}`);
    return reply.json<T>();
  }
}

/** Records the key of a response that creates one. */
function recordKey(text: string): void {
  const [, key] = /"key":"(stw_\w+)"/.exec(text) ?? [];
  if (key !== undefined) appendFileSync(RUN.secrets, `${key}\n`);
}

/** Whether a response contains the key of its request. Short keys of tests, such as "wrong", are words. */
function hasKey(key: string | undefined, text: string, headers: Headers): boolean {
  if (key === undefined || key.length < KEY_LENGTH_MIN) return false;
  return text.includes(key) || Array.from(headers).some(([, value]) => value.includes(key));
}

/**
 * The lines with a text that the servers have logged, with those that were not written yet.
 * @param start bytes of the log to leave out
 */
export async function logLinesWith(part: string, start = 0): Promise<LogLine[]> {
  await command('POST', '/log');
  const text = (await readFile(RUN.log)).toString('utf8', start);
  const lines = text.split('\n').filter((line) => line.includes(part));
  return lines.map((line) => JSON.parse(line) as LogLine);
}

/** The settings for a server on this database. */
export function settingsFor({ address }: Pick<TestTables, 'address'>): Record<string, string> {
  // All tests have one address.
  const failures = { RATE_LIMIT_FAILURES_PER_MINUTE: '1000000' };
  // Some specs encrypt values of their projects in the shared database, which every server on it must be able to read.
  const dataKey = address.database === RUN.sharedDatabase ? { STOWAGE_DATA_KEY: RUN.dataKey } : {};
  return { DATABASE_URL: urlOf(address), STOWAGE_KEY_SECRET: RUN.keySecret, ...dataKey, ...failures };
}

function startServer(tables: Pick<TestTables, 'address'>, settings: Record<string, string>): Promise<StartedServer> {
  const own = { PORT: '0', LOG_LEVEL: 'debug', STOWAGE_OPERATOR_KEY: RUN.operatorKey };
  return command('POST', '/servers', { ...own, ...settingsFor(tables), ...settings });
}

async function command<T = void>(method: string, path: string, body?: object): Promise<T> {
  const response = await send(RUN.control + path, { method, body: JSON.stringify(body ?? {}) });
  const text = await response.text();
  if (!response.ok) throw new Error(`${method} ${path} of the test servers: ${text}`);
  return JSON.parse(text) as T;
}

/** @throws Error with the end of the servers' log when there is no response */
async function send(url: string, init: RequestInit): Promise<Response> {
  // A spec that has computed for seconds has not read that the server closed its idle connections, and `fetch` would use them.
  // The first turn may have polled before they were closed.
  for (let turns = 0; turns < 2; turns++) await turnOfEventLoop();
  try {
    return await fetch(url, init.method === 'GET' ? { ...init, body: null } : init);
  } catch (cause) {
    const log = await readFile(RUN.log, 'utf8');
    throw new Error(
      `no response to ${String(init.method)} ${url}; the log of the servers ends with:\n${log.slice(-4_000)}`,
      {
        cause,
      },
    );
  }
}
