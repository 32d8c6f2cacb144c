import { spawn, type ChildProcess } from 'node:child_process';
import { access, constants, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { DockerfileParser, type Copy, type Instruction, type JSONInstruction } from 'dockerfile-ast';
import { validate } from 'dockerfile-utils';
import { parse } from 'yaml';
import { createDatabase, dropDatabase, Tables, urlOf } from '../harness/tables.js';

const ENTRYPOINT = join(process.cwd(), 'docker-entrypoint.sh');
const MAIN = join(process.cwd(), 'dist/apps/cli/main.js');
const COMMANDS = [
  'serve',
  'worker',
  'migrate',
  'key',
  'project',
  'device',
  'audit',
  'backup',
  'restore',
  'check',
  'load',
  'export',
  'demo',
  'createsuperuser',
  'shell',
];

interface Result {
  code: number | null;
  stdout: string;
  stderr: string;
}

interface Running {
  child: ChildProcess;
  /** Resolves when standard output matches; rejects if the process ends before that. */
  prints(pattern: RegExp): Promise<RegExpExecArray>;
  result: Promise<Result>;
}

let db: Tables;
let folder: string;
const children: ChildProcess[] = [];

/** An empty database, and a working directory outside of the project. */
beforeAll(async () => {
  db = new Tables(await createDatabase('template1'));
  folder = await mkdtemp(join(tmpdir(), 'stowage-containers-'));
});
afterAll(async () => {
  for (const child of children) child.kill('SIGKILL');
  await db.close();
  await dropDatabase(db.address);
  await rm(folder, { recursive: true, force: true });
});

function start(program: string, args: readonly string[], settings: Record<string, string> = {}, input = ''): Running {
  const env = {
    PATH: process.env.PATH,
    DATABASE_URL: urlOf(db.address),
    STOWAGE_KEY_SECRET: 'a secret of the tests, 32 characters',
    PORT: '0',
    LOG_LEVEL: 'silent',
    ...settings,
  };
  const child = spawn(program, args, { cwd: folder, env, stdio: 'pipe' });
  children.push(child);
  // A command that is rejected exits before it reads its input.
  child.stdin.on('error', () => undefined);
  child.stdin.end(input);
  let stdout = '';
  let stderr = '';
  child.stdout.on('data', (chunk: Buffer) => (stdout += chunk.toString()));
  child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
  const result = new Promise<Result>((resolve) => {
    child.once('close', (code) => {
      resolve({ code, stdout, stderr });
    });
  });
  const prints = (pattern: RegExp): Promise<RegExpExecArray> =>
    new Promise((resolve, reject) => {
      child.stdout.on('data', () => {
        const found = pattern.exec(stdout);
        if (found !== null) resolve(found);
      });
      void result.then(() => {
        reject(new Error(`ended without printing ${String(pattern)}: ${stdout}${stderr}`));
      });
    });
  return { child, prints, result };
}

function entrypoint(args: readonly string[], settings: Record<string, string> = {}, input = ''): Running {
  return start('sh', [ENTRYPOINT, ...args], settings, input);
}

describe('docker-entrypoint.sh', () => {
  let server: Running;
  let origin: string;
  let adminKey: string;

  it('is executable, and lists its commands', async () => {
    await access(ENTRYPOINT, constants.X_OK);
    const { code, stdout } = await entrypoint(['--help']).result;
    expect(code).toBe(0);
    for (const command of COMMANDS) expect(stdout).toMatch(new RegExp(`^  ${command} `, 'm'));
  });

  it('has every command of the command line, and so has its page', async () => {
    const { code, stdout } = await start(process.execPath, [MAIN, '--help']).result;
    const listed = [...stdout.matchAll(/^ {2}([a-z]+) /gm)]
      .map(([, name = '']) => name)
      .filter((name) => name !== 'help');
    expect([code, [...listed, 'createsuperuser'].sort()]).toEqual([0, [...COMMANDS].sort()]);
    const page = await readFile('docs/operations/command-line.md', 'utf8');
    for (const name of listed) expect(page).toMatch(new RegExp(`^\\| \`${name}\\b`, 'm'));
  });

  it.each([[[]], [['sevre']], [['keys', 'list']]])('rejects %j with the usage and exit code 2', async (args) => {
    const { code, stdout, stderr } = await entrypoint(args).result;
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr).toMatch(/^Usage: /);
  });

  it('migrate creates the tables', async () => {
    const { code, stdout } = await entrypoint(['migrate']).result;
    expect({ code, stdout }).toEqual({ code: 0, stdout: expect.stringMatching(/ran \d+ migrations/) });
    expect(await db.sql('SELECT FROM objects')).toEqual([]);
  });

  it('createsuperuser prints an admin key of the project "default", and creates the project if it is missing', async () => {
    const { code, stdout } = await entrypoint(['createsuperuser']).result;
    expect({ code, stdout }).toEqual({ code: 0, stdout: expect.stringMatching(/^stw_admin_\w+\n$/) });
    adminKey = stdout.trim();
    expect(await db.sql('SELECT p.name, k.role FROM api_keys AS k JOIN projects AS p USING (project_id)')).toEqual([
      { name: 'default', role: 'admin' },
    ]);
  });

  it.each(COMMANDS.filter((command) => command !== 'createsuperuser'))(
    '%s runs this command of the command line, with its arguments',
    async (command) => {
      // In place of Node.js, a program that prints its arguments.
      await writeFile(join(folder, 'node'), `#!/bin/sh\nprintf '%s\\n' "$@"\n`, { mode: 0o755 });
      const settings = { PATH: `${folder}:${String(process.env.PATH)}` };
      const { code, stdout } = await entrypoint([command, 'two words', '--option', '*'], settings).result;
      expect({ code, args: stdout.split('\n') }).toEqual({
        code: 0,
        args: [MAIN, command, 'two words', '--option', '*', ''],
      });
    },
  );

  it('serve runs the server, which accepts the key of createsuperuser', async () => {
    server = entrypoint(['serve']);
    [, origin = ''] = await server.prints(/Stowage is ready: (\S+)\/api\/v1\//);
    const response = await fetch(`${origin}/api/v1/batches`, { headers: { 'X-Api-Key': adminKey } });
    expect(response.status).toBe(200);
  });

  it('load sends a file to the server', async () => {
    await writeFile(join(folder, 'hello.json'), '{"batch_id": "hello", "objects": [{"object_id": "1", "data": {}}]}');
    const settings = { STOWAGE_URL: origin, STOWAGE_API_KEY: adminKey };
    const { code, stderr } = await entrypoint(['load', 'hello.json'], settings).result;
    expect({ code, stderr }).toMatchObject({ code: 0 });
    expect(await db.sql('SELECT batch_id FROM objects')).toEqual([{ batch_id: 'hello' }]);
  });

  it('shell runs JavaScript with access to the services', async () => {
    const { code, stdout } = await entrypoint(['shell'], {}, `(await get(ProjectService).findByName('default')).name\n`)
      .result;
    expect({ code, stdout }).toEqual({ code: 0, stdout: expect.stringContaining(`'default'`) });
  });

  it('worker runs jobs until SIGTERM, and exits with 0', async () => {
    const worker = entrypoint(['worker']);
    await worker.prints(/Stowage worker is ready/);
    const headers = { 'X-Api-Key': adminKey, 'Content-Type': 'application/json', Prefer: 'respond-async' };
    const body = '{"batch_id": "later", "objects": []}';
    const accepted = await fetch(`${origin}/api/v1/batches`, { method: 'POST', headers, body });
    expect(accepted.status).toBe(202);
    const status = async (): Promise<string> => {
      const job = await fetch(accepted.headers.get('Location') ?? '', { headers });
      return ((await job.json()) as { status: string }).status;
    };
    while ((await status()) !== 'succeeded') await new Promise((resolve) => setTimeout(resolve, 50));
    worker.child.kill('SIGTERM');
    expect((await worker.result).code).toBe(0);
  });

  it('the health check of the Dockerfile succeeds while the server runs, and fails after it stops', async () => {
    const [program = '', ...args] = await healthCheck();
    const settings = { PORT: new URL(origin).port };
    expect(await start(program, args, settings).result).toMatchObject({ code: 0, stderr: '' });
    server.child.kill('SIGTERM');
    expect((await server.result).code).toBe(0);
    expect((await start(program, args, settings).result).code).toBe(1);
  });
});

async function dockerfile(): Promise<{ text: string; instructions: Instruction[] }> {
  const text = await readFile('Dockerfile', 'utf8');
  return { text, instructions: DockerfileParser.parse(text).getInstructions() };
}

/** The elements of the last instruction with this name, which is a JSON array. */
async function wordsOf(keyword: string): Promise<string[]> {
  const found = (await dockerfile()).instructions.filter((instruction) => instruction.getKeyword() === keyword).at(-1);
  return (found as JSONInstruction).getJSONStrings().map((word) => JSON.parse(word.getValue()) as string);
}

async function healthCheck(): Promise<string[]> {
  const found = (await dockerfile()).instructions.find((instruction) => instruction.getKeyword() === 'HEALTHCHECK');
  const [, json = '[]'] = /CMD (\[.*\])/s.exec(found?.getRawArgumentsContent() ?? '') ?? [];
  return JSON.parse(json) as string[];
}

describe('Dockerfile', () => {
  it('is valid', async () => {
    expect(validate((await dockerfile()).text)).toEqual([]);
  });

  it('copies only paths that exist and that .dockerignore does not exclude', async () => {
    const included = (await readFile('.dockerignore', 'utf8'))
      .split('\n')
      .flatMap((line) => line.match(/^!(.+)$/)?.[1] ?? []);
    const copies = (await dockerfile()).instructions.filter((instruction) => instruction.getKeyword() === 'COPY');
    const sources = copies
      .filter((copy) => (copy as Copy).getFromFlag() === null)
      .flatMap((copy) => copy.getArguments().slice(0, -1))
      .map((argument) => argument.getValue());
    expect(sources.sort()).toEqual(included.sort());
    for (const source of sources) await access(source);
  });

  it('copies from its build stage the code, the dependencies and the files that the server reads', async () => {
    const { text } = await dockerfile();
    const [, stage = ''] = text.split(/^FROM .*(?<!AS build)$/m);
    const copied = [...stage.matchAll(/^COPY (?:--from=build \/app\/)?(\S+) /gm)].map(([, path]) => path);
    expect(copied).toEqual(
      expect.arrayContaining(['package.json', 'node_modules', 'dist', 'fixtures', 'docs', 'docker-entrypoint.sh']),
    );
  });

  it('runs npm scripts that exist', async () => {
    const { scripts } = JSON.parse(await readFile('package.json', 'utf8')) as { scripts: Record<string, string> };
    const names = [...(await dockerfile()).text.matchAll(/npm run (\S+)/g)].map(([, name]) => name);
    expect(names).toEqual(['build']);
    for (const name of names) expect(scripts).toHaveProperty(name ?? '');
  });

  it('sets options that Node.js accepts, in its last stage', async () => {
    const [, stage = ''] = (await dockerfile()).text.split(/^FROM .*(?<!AS build)$/m);
    const options = /^ENV NODE_OPTIONS=(.+)$/m.exec(stage)?.[1] ?? '';
    expect(options).toContain('--max-semi-space-size=');
    const { code, stderr } = await start(process.execPath, ['-e', '0'], { NODE_OPTIONS: options }).result;
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  });

  it('starts the entry point with a valid command, and not as root', async () => {
    expect(await wordsOf('ENTRYPOINT')).toEqual(['/app/docker-entrypoint.sh']);
    expect(COMMANDS).toEqual(expect.arrayContaining(await wordsOf('CMD')));
    expect((await dockerfile()).text).toMatch(/^USER node$/m);
  });
});

interface Service {
  image: string;
  command?: string[];
  environment: Record<string, string | null>;
  volumes?: string[];
  ports?: string[];
  depends_on?: Record<string, { condition: string }>;
  healthcheck?: { test?: string[]; disable?: boolean };
  profiles?: string[];
}

async function compose(): Promise<{ services: Record<string, Service>; volumes: Record<string, unknown> }> {
  return parse(await readFile('docker-compose.yml', 'utf8'), { merge: true }) as Awaited<ReturnType<typeof compose>>;
}

describe('docker-compose.yml', () => {
  it('conforms to the compose schema and the linter rules', async () => {
    // The linter contains the schema of the Compose Specification.
    const linter = join(process.cwd(), 'node_modules/.bin/dclint');
    const { code, stdout, stderr } = await start(linter, [join(process.cwd(), 'docker-compose.yml')]).result;
    expect({ code, messages: `${stdout}${stderr}`.trim() }).toEqual({ code: 0, messages: '' });
  });

  it('has the API, a worker and PostgreSQL 18, and both wait until PostgreSQL is healthy', async () => {
    const { services } = await compose();
    const started = Object.entries(services).flatMap(([name, { profiles }]) => (profiles === undefined ? [name] : []));
    expect(started).toEqual(['api', 'postgres', 'worker']);
    expect(services.postgres).toMatchObject({
      image: expect.stringMatching(/^postgres:18/),
      healthcheck: { test: expect.arrayContaining(['pg_isready']) },
    });
    for (const name of ['api', 'worker']) {
      expect(services[name]?.depends_on).toEqual({ postgres: { condition: 'service_healthy' } });
    }
  });

  it.each(['grafana', 'jaeger', 'pgadmin', 'prometheus', 'redis'])(
    'has %s that only its profile starts',
    async (name) => {
      const { services } = await compose();
      expect(services[name]).toMatchObject({ image: expect.stringMatching(/:v?\d/), profiles: [name] });
      // Reachable from this machine only.
      expect((services[name]?.ports ?? []).filter((port) => !port.startsWith('127.0.0.1:'))).toEqual([]);
    },
  );

  it('mounts files of the project that exist, read-only', async () => {
    const { services } = await compose();
    const mounts = Object.values(services).flatMap(({ volumes = [] }) => volumes.filter((one) => one.startsWith('.')));
    expect(mounts.length).toBeGreaterThan(3);
    for (const mount of mounts) {
      const [source = '', , mode] = mount.split(':');
      await access(source);
      expect([source, mode]).toEqual([source, 'ro']);
    }
  });

  it('scrapes and queries services that it has', async () => {
    const { services } = await compose();
    const scraped = parse(await readFile('deploy/prometheus/prometheus.yml', 'utf8')) as {
      scrape_configs: { job_name: string; static_configs: { targets: string[] }[] }[];
    };
    const targets = scraped.scrape_configs.flatMap((job) => job.static_configs.flatMap((one) => one.targets));
    const source = await readFile('deploy/grafana/provisioning/datasources/prometheus.yml', 'utf8');
    const hosts = [
      ...targets.map((target) => target.split(':')[0] ?? ''),
      new URL(/url: (.*)/.exec(source)?.[1] ?? '').hostname,
    ];
    expect(Object.keys(services)).toEqual(expect.arrayContaining(hosts));
  });

  it('runs valid commands of the entry point', async () => {
    const { services } = await compose();
    expect([services.api?.command, services.worker?.command]).toEqual([['serve'], ['worker']]);
  });

  it('does not start without the key secret and the database password', async () => {
    const { services } = await compose();
    for (const name of ['api', 'worker']) {
      expect(services[name]?.environment.STOWAGE_KEY_SECRET).toMatch(/^\$\{STOWAGE_KEY_SECRET:\?.+\}$/);
      expect(services[name]?.environment.DATABASE_URL).toMatch(/\$\{POSTGRES_PASSWORD:\?.+\}/);
    }
    expect(services.postgres?.environment.POSTGRES_PASSWORD).toMatch(/^\$\{POSTGRES_PASSWORD:\?.+\}$/);
  });

  it('sets only variables that are settings of Stowage', async () => {
    const { services } = await compose();
    const known = [...(await readFile('.env.example', 'utf8')).matchAll(/^(?:# )?([A-Z_]+)=/gm)].map(
      ([, name]) => name,
    );
    for (const name of ['api', 'worker']) {
      expect(known).toEqual(expect.arrayContaining(Object.keys(services[name]?.environment ?? {})));
    }
  });

  it('passes on every setting except those of the containers and the clients', async () => {
    const { services } = await compose();
    const ownByImage = ['HOST', 'PORT', 'STOWAGE_DATA_DIR'];
    const ofClients = ['STOWAGE_URL', 'STOWAGE_API_KEY'];
    const known = [...(await readFile('.env.example', 'utf8')).matchAll(/^(?:# )?([A-Z_]+)=/gm)].flatMap(
      ([, name = '']) => ([...ownByImage, ...ofClients].includes(name) ? [] : name),
    );
    expect(Object.keys(services.api?.environment ?? {}).sort()).toEqual(known.sort());
  });

  it('keeps the database on a named volume', async () => {
    const { services, volumes } = await compose();
    expect(services.postgres?.volumes).toEqual(['database:/var/lib/postgresql']);
    expect(Object.keys(volumes)).toEqual(['database', 'metrics']);
  });
});
