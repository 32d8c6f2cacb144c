import { Command, CommandRunner, Option, SubCommand } from 'nest-commander';
import type { DeleteOptions } from './deletion-services.js';
import { CommandGroup } from './command-group.js';
import { printLine, table } from './output.js';
import { UsageError } from './usage-error.js';

const OPTION_NAMES = {
  name: '<name>',
  objects_max: '--objects-max',
  bytes_max: '--bytes-max',
  retention_days: '--retention-days',
};

interface LimitOptions {
  objectsMax?: string;
  bytesMax?: string;
  retentionDays?: string;
}

/** A command with options for the limits of a project. */
abstract class LimitsCommand extends CommandRunner {
  @Option({
    flags: '--objects-max <number>',
    description: 'the largest number of objects; none for the default of the installation',
  })
  parseObjectsMax(value: string): string {
    return value;
  }

  @Option({
    flags: '--bytes-max <number>',
    description: 'the largest size of the data of all objects in bytes; none for the default of the installation',
  })
  parseBytesMax(value: string): string {
    return value;
  }

  @Option({
    flags: '--retention-days <number>',
    description: 'delete objects this many days after their observed_at, for good; none to keep them',
  })
  parseRetentionDays(value: string): string {
    return value;
  }

  /** The members of a request body, in which null is the value of `none`. @throws UsageError */
  protected membersOf({ objectsMax, bytesMax, retentionDays }: LimitOptions): Record<string, unknown> {
    return {
      ...(objectsMax === undefined ? {} : { objects_max: limitOf('--objects-max', objectsMax) }),
      ...(bytesMax === undefined ? {} : { bytes_max: limitOf('--bytes-max', bytesMax) }),
      ...(retentionDays === undefined ? {} : { retention_days: limitOf('--retention-days', retentionDays) }),
    };
  }
}

@SubCommand({ name: 'create', arguments: '<name>', description: 'create a project and print its id and name' })
class ProjectCreateCommand extends LimitsCommand {
  async run([name = '']: string[], options: LimitOptions): Promise<void> {
    const { COMMAND_LINE, CreateProjectDto, validateOptions, withAccessToCreate } =
      await import('./access-services.js');
    const body = await validateOptions(CreateProjectDto, { name, ...this.membersOf(options) }, OPTION_NAMES);
    const created = await withAccessToCreate(({ projects }) => projects.create(body, COMMAND_LINE));
    printLine(`${String(created.project_id)}  ${created.name}`);
  }
}

@SubCommand({ name: 'list', description: 'list the projects with their limits, newest first' })
class ProjectListCommand extends CommandRunner {
  async run(): Promise<void> {
    const { listAll, withAccess } = await import('./access-services.js');
    const found = await withAccess(({ projects }) => listAll((page) => projects.list(page)));
    const rows = found.map(({ project_id, name, created_at, objects_max, bytes_max, retention_days }) => [
      String(project_id),
      name,
      created_at,
      limitText(objects_max),
      limitText(bytes_max),
      limitText(retention_days),
    ]);
    table(['PROJECT_ID', 'NAME', 'CREATED_AT', 'OBJECTS_MAX', 'BYTES_MAX', 'RETENTION_DAYS'], rows).forEach(printLine);
  }
}

@SubCommand({
  name: 'usage',
  arguments: '<project>',
  description: 'print what a project stores, its limits and the number of its requests',
})
class ProjectUsageCommand extends CommandRunner {
  async run([nameOrId = '']: string[]): Promise<void> {
    const { getProjectId, withAccess } = await import('./access-services.js');
    const usage = await withAccess(async (services) => services.usage.find(await getProjectId(services, nameOrId)));
    if (usage === null) throw new Error('the project was deleted meanwhile');
    const rows = [
      ['objects', String(usage.objects), limitText(usage.limits.objects)],
      ['bytes', String(usage.bytes), limitText(usage.limits.bytes)],
      ['requests', String(usage.requests), '-'],
    ];
    table(['WHAT', 'USED', 'LIMIT'], rows).forEach(printLine);
  }
}

@SubCommand({ name: 'rename', arguments: '<project> <name>', description: 'rename a project' })
class ProjectRenameCommand extends CommandRunner {
  async run([nameOrId = '', name = '']: string[]): Promise<void> {
    const project = await updateProject(nameOrId, { name });
    printLine(`${String(project.project_id)}  ${project.name}`);
  }
}

@SubCommand({
  name: 'set-limits',
  arguments: '<project>',
  description: 'change the limits of a project; they apply to every later write on every server',
})
class ProjectSetLimitsCommand extends LimitsCommand {
  async run([nameOrId = '']: string[], options: LimitOptions): Promise<void> {
    const members = this.membersOf(options);
    if (Object.keys(members).length === 0)
      throw new UsageError('set-limits needs --objects-max, --bytes-max or --retention-days');
    const { objects_max, bytes_max, retention_days } = await updateProject(nameOrId, members);
    const limits = Object.entries({ objects_max, bytes_max, retention_days });
    printLine(limits.map(([name, limit]) => `${name} ${limitText(limit)}`).join(', '));
  }
}

@SubCommand({
  name: 'delete',
  arguments: '<project>',
  description: 'delete a project with its keys and devices; every server rejects the keys within 5 seconds',
})
class ProjectDeleteCommand extends CommandRunner {
  async run([nameOrId = '']: string[], options: DeleteOptions): Promise<void> {
    const { deleteProject } = await import('./deletion-services.js');
    const { project_id, deleted } = await deleteProject(nameOrId, options);
    const counts = Object.entries(deleted).map(([what, count]) => `${String(count)} ${what}`);
    printLine(`${String(project_id)}  deleted ${counts.join(', ')}`);
  }

  @Option({ flags: '--cascade', description: 'also delete its batches and objects' })
  parseCascade(): boolean {
    return true;
  }

  @Option({ flags: '--yes', description: 'confirm; without it nothing is deleted' })
  parseYes(): boolean {
    return true;
  }
}

/** Validates the members like the body of a PATCH, and changes the project. */
async function updateProject(nameOrId: string, members: Readonly<Record<string, unknown>>) {
  const { COMMAND_LINE, getProjectId, UpdateProjectDto, validateOptions, withAccess } =
    await import('./access-services.js');
  const body = await validateOptions(UpdateProjectDto, members, OPTION_NAMES);
  return withAccess(async (services) =>
    services.projects.update(String(await getProjectId(services, nameOrId)), body, COMMAND_LINE),
  );
}

function limitOf(option: string, text: string): number | null {
  if (text === 'none') return null;
  if (!/^\d+$/.test(text)) throw new UsageError(`${option} must be a whole number or none, not "${text}"`);
  return Number(text);
}

function limitText(limit: number | null): string {
  return limit === null ? 'none' : String(limit);
}

@Command({
  name: 'project',
  description: 'manage projects and their limits, in the database',
  subCommands: [
    ProjectCreateCommand,
    ProjectListCommand,
    ProjectUsageCommand,
    ProjectRenameCommand,
    ProjectSetLimitsCommand,
    ProjectDeleteCommand,
  ],
})
export class ProjectCommand extends CommandGroup {}
