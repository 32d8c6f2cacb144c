import {
  AccessModule,
  CreateDeviceDto,
  CreateKeyDto,
  CreateProjectDto,
  DeviceService,
  DeviceStore,
  KeySecret,
  KeyService,
  KeyStore,
  ProjectService,
  RotateKeyDto,
  UpdateKeyDto,
  UpdateProjectDto,
} from '#access';
import { COMMAND_LINE } from '#audit';
import type { Slice } from '#database';
import { InputPipe, JsonBody, Problem, type PageRequest } from '#http';
import type { Config } from '#platform';
import { UsageStore } from '#usage';
import { Module, type INestApplicationContext, type Type } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { FoundationModule } from '../foundation.module.js';
import { printMessage } from './output.js';
import { UsageError } from './usage-error.js';
import { withInstallation } from './with-installation.js';

/**
 * The services behind the commands on projects, keys and devices. The commands import this module when they run: it loads
 * half of the server, which takes more than a second.
 */
export {
  COMMAND_LINE,
  CreateDeviceDto,
  CreateKeyDto,
  CreateProjectDto,
  KeySecret,
  RotateKeyDto,
  UpdateKeyDto,
  UpdateProjectDto,
};

/** Rows that are read at a time when a command lists all of them. */
const PAGE_ROWS = 1_000;

export interface AccessServices {
  projects: ProjectService;
  keys: KeyService;
  keyStore: KeyStore;
  devices: DeviceService;
  deviceStore: DeviceStore;
  usage: UsageStore;
}

interface NamedProject {
  project_id: number;
  name: string;
}

@Module({})
class CliContextModule {}

/** Start-up messages of the database are for a person at a terminal; a script gets the result or one error line. */
function printStartupMessage(line: string): void {
  if (process.stderr.isTTY) printMessage(line);
}

/** Opens the installation without HTTP and runs `work`, which creates nothing, with the services of `access`. */
export function withAccess<T>(work: (services: AccessServices) => Promise<T>): Promise<T> {
  return withModule(AccessModule, { leasesLane: false }, (app) => work(getAccessServices(app)));
}

/** The same for work that creates projects, keys or devices: each of them gets a sequence number. */
export function withAccessToCreate<T>(work: (services: AccessServices) => Promise<T>): Promise<T> {
  return withModule(AccessModule, { leasesLane: true }, (app) => work(getAccessServices(app)));
}

export function getAccessServices(app: INestApplicationContext): AccessServices {
  return {
    projects: app.get(ProjectService),
    keys: app.get(KeyService),
    keyStore: app.get(KeyStore),
    devices: app.get(DeviceService),
    deviceStore: app.get(DeviceStore),
    usage: app.get(UsageStore, { strict: false }),
  };
}

/** Opens the installation without HTTP and runs `work` with a Nest context of this module. */
export function withModule<T>(
  module: Type,
  { leasesLane }: { leasesLane: boolean },
  work: (app: INestApplicationContext) => Promise<T>,
): Promise<T> {
  return withInstallation(
    { say: printStartupMessage, leasesLane, createsDatabase: false },
    async (installation, config) => {
      // Servers and workers run jobs and limit rates, for which they connect to Redis; a short command does neither.
      const ofCommand: Config = {
        ...config,
        jobs: { ...config.jobs, worker: 'separate' },
        rateLimits: { keyItems: 0, projectItems: 0, failures: 0, redisUrl: null },
      };
      const imports = [FoundationModule.of(ofCommand, installation), module];
      const app = await NestFactory.createApplicationContext(
        { module: CliContextModule, imports },
        { logger: false, abortOnError: false },
      );
      try {
        return await work(app);
      } finally {
        await app.close();
      }
    },
  );
}

/**
 * Validates options with the DTO of the API's request body, so that both accept the same values.
 * @param optionNames the option or argument that each member of the body came from
 * @throws UsageError naming the first invalid option
 */
export function validateOptions<T>(
  dto: new () => T,
  members: Readonly<Record<string, unknown>>,
  optionNames: Readonly<Record<string, string>>,
): Promise<T> {
  const body = new JsonBody(Buffer.from(JSON.stringify(members)), Infinity);
  return withOptionNames(optionNames, () => new InputPipe().transform(body, { type: 'body', metatype: dto }) as T);
}

/** The same for the DTO of a query. @throws UsageError naming the first invalid option */
export function validateQuery<T>(
  dto: new () => T,
  parameters: Readonly<Record<string, unknown>>,
  optionNames: Readonly<Record<string, string>>,
): Promise<T> {
  const sent = Object.fromEntries(Object.entries(parameters).filter(([, value]) => value !== undefined));
  return withOptionNames(optionNames, () => new InputPipe().transform(sent, { type: 'query', metatype: dto }) as T);
}

/** Runs `work` and reports a validation error of a body member or query parameter as an error of the option it came from. */
export async function withOptionNames<T>(
  optionNames: Readonly<Record<string, string>>,
  work: () => T | Promise<T>,
): Promise<T> {
  try {
    return await work();
  } catch (error) {
    const isInvalid = error instanceof Problem && (error.slug === 'invalid-body' || error.slug === 'invalid-query');
    const [first] = isInvalid ? error.errors : [];
    if (first === undefined || 'header' in first) throw error;
    const name = 'pointer' in first ? first.pointer.slice(1) : first.parameter;
    throw new UsageError(`${optionNames[name] ?? name} ${first.detail}`);
  }
}

/**
 * Returns the project with this id or, when there is none, with this name: scripts that use ids must not change another
 * project, whatever its name is.
 * @param nameOrId undefined for the project of the first start
 * @throws Problem not-found
 */
export async function getProject({ projects }: AccessServices, nameOrId: string | undefined): Promise<NamedProject> {
  if (nameOrId === undefined) {
    const first = await projects.findDefault();
    if (first !== null) return first;
    const detail =
      'the project of the first start does not exist; use --project, or start the server, which creates the project "default"';
    throw new Problem('not-found', { detail });
  }
  const found = (await projects.findById(nameOrId)) ?? (await projects.findByName(nameOrId));
  if (found !== null) return found;
  const detail = `project "${nameOrId}" not found; "stowage project list" lists all projects`;
  throw new Problem('not-found', { detail });
}

/**
 * The same for the first key of an installation without a server: it creates the project that the first start would create.
 * An installation that has or had projects gets no other one.
 */
export async function getProjectForKey(services: AccessServices, nameOrId: string | undefined): Promise<NamedProject> {
  const isFirst = nameOrId === undefined && !(await services.projects.hadProjects());
  return isFirst ? services.projects.ensureDefault(COMMAND_LINE) : getProject(services, nameOrId);
}

/** The id of a project; see getProject. */
export async function getProjectId(services: AccessServices, nameOrId: string | undefined): Promise<number> {
  return (await getProject(services, nameOrId)).project_id;
}

/** Reads all pages of a list. */
export function listAll<T>(list: (page: PageRequest) => Promise<{ slice: Slice<T> }>): Promise<T[]> {
  return listFirst(Infinity, list);
}

/** Reads the first rows of a list. */
export async function listFirst<T>(
  limit: number,
  list: (page: PageRequest) => Promise<{ slice: Slice<T> }>,
): Promise<T[]> {
  const rows: T[] = [];
  for (;;) {
    const position = { kind: 'offset', offset: rows.length } as const;
    // A page request needs them for its links, which are not used here.
    const links = { fingerprint: '', linkBase: '' };
    const { slice } = await list({ position, size: Math.min(PAGE_ROWS, limit - rows.length), count: 'none', ...links });
    rows.push(...slice.items);
    if (!slice.hasNext || rows.length >= limit) return rows;
  }
}
