import {
  AccessModule,
  CreateDeviceDto,
  CreateKeyDto,
  CreateProjectDto,
  DeviceService,
  KeyService,
  ProjectService,
} from '#access';
import { InputPipe, JsonBody, Problem, type Config, type PageRequest, type Principal, type Slice } from '#platform';
import { Module, type INestApplicationContext, type Type } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { FoundationModule } from '../foundation.module.js';
import { sayLine } from './output.js';
import { UsageError } from './usage-error.js';
import { withInstallation } from './with-installation.js';

/** What the commands on projects, keys and devices stand on; they import it when they run: it loads half of the server. */
export { CreateDeviceDto, CreateKeyDto, CreateProjectDto };

/** Whoever may open the database may do what an operator may. */
const CLI_OPERATOR: Principal = { keyId: 'cli', role: 'operator', projectId: null, deviceId: null };

/** How many rows a list reads at a time. */
const PAGE_ROWS = 1_000;

export interface AccessServices {
  projects: ProjectService;
  keys: KeyService;
  devices: DeviceService;
}

@Module({})
class NoModule {}

/** Steps are for somebody who waits; a script gets the result, and of an error the one line that tells it. */
function sayStep(line: string): void {
  if (process.stderr.isTTY) sayLine(line);
}

/** Opens the installation and the services of `access` on it, without HTTP. */
export function withAccess<T>(work: (services: AccessServices) => Promise<T>): Promise<T> {
  return withModule(AccessModule, (app) => work(accessOf(app)));
}

export function accessOf(app: INestApplicationContext): AccessServices {
  return { projects: app.get(ProjectService), keys: app.get(KeyService), devices: app.get(DeviceService) };
}

/** Opens the installation and a lib on it, without HTTP. */
export function withModule<T>(lib: Type, work: (app: INestApplicationContext) => Promise<T>): Promise<T> {
  return withInstallation(sayStep, async (installation, config) => {
    // A command does what it was told and goes; the jobs are the servers' and the workers'.
    const withoutJobs: Config = { ...config, jobs: { ...config.jobs, worker: 'separate' } };
    const module = { module: NoModule, imports: [FoundationModule.of(withoutJobs, installation), lib] };
    const app = await NestFactory.createApplicationContext(module, { logger: false, abortOnError: false });
    try {
      return await work(app);
    } finally {
      await app.close();
    }
  });
}

/**
 * Checks options by the rules of the API's own body, so that nothing can be made here that HTTP would have refused.
 * @param optionOf which option or argument a member of the body came from
 * @throws UsageError naming the first one that is wrong
 */
export function checkedBody<T>(
  dto: new () => T,
  members: Readonly<Record<string, unknown>>,
  optionOf: Readonly<Record<string, string>>,
): Promise<T> {
  const body = new JsonBody(Buffer.from(JSON.stringify(members)), Infinity);
  return namingOptions(optionOf, () => new InputPipe().transform(body, { type: 'body', metatype: dto }) as T);
}

/** Turns a problem of a body into one of the options that the body was made from. */
export async function namingOptions<T>(
  optionOf: Readonly<Record<string, string>>,
  work: () => T | Promise<T>,
): Promise<T> {
  try {
    return await work();
  } catch (error) {
    const [first] = error instanceof Problem && error.slug === 'invalid-body' ? error.errors : [];
    if (first === undefined || !('pointer' in first)) throw error;
    throw new UsageError(`${optionOf[first.pointer.slice(1)] ?? first.pointer} ${first.detail}`);
  }
}

/** The project of this name, or else of this id. @throws Problem not-found, naming it */
export async function projectIdOf({ projects }: AccessServices, nameOrId: string): Promise<number> {
  const found = await projects.findByName(nameOrId);
  if (found !== null) return found.projectId;
  try {
    return (await projects.get(CLI_OPERATOR, nameOrId)).project_id;
  } catch (error) {
    if (!(error instanceof Problem && error.slug === 'not-found')) throw error;
    const detail = `there is no project "${nameOrId}"; stowage project list shows those there are`;
    throw new Problem('not-found', { detail, cause: error });
  }
}

/** Every row of a list that the API pages. */
export async function allOf<T>(list: (page: PageRequest) => Promise<{ slice: Slice<T> }>): Promise<T[]> {
  const rows: T[] = [];
  for (;;) {
    const place = { kind: 'offset', offset: rows.length } as const;
    // Nobody follows a link of these pages.
    const links = { fingerprint: '', url: new URL('http://localhost/') };
    const { slice } = await list({ place, size: PAGE_ROWS, count: 'none', ...links });
    rows.push(...slice.items);
    if (!slice.hasNext) return rows;
  }
}
