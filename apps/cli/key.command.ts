import type { Role } from '#platform';
import { Command, CommandRunner, Option, SubCommand } from 'nest-commander';
import { CommandGroup } from './command-group.js';
import { printLine, sayLine, table } from './output.js';
import { UsageError } from './usage-error.js';

/** The project that a first start makes; #access would tell, after half a second of loading. */
const DEFAULT_PROJECT = 'default';
const PROJECT_FLAGS = '--project <name or id>';
const PROJECT_HELP = `the project (default: "${DEFAULT_PROJECT}")`;
const OPTION_OF = { name: '--name', role: '--role', expires_at: '--expires', device_id: '--device' };

interface CreateKeyOptions {
  project?: string;
  role: string;
  name: string;
  expires?: string;
  device?: string;
}

@SubCommand({ name: 'create', description: 'make a key, and print it this once: alone on standard output' })
class KeyCreateCommand extends CommandRunner {
  async run(_: string[], { project, role, name, expires, device }: CreateKeyOptions): Promise<void> {
    const isOperator = role === 'operator';
    if (isOperator && [project, expires, device].some((option) => option !== undefined)) {
      throw new UsageError('--role operator takes no --project, --expires or --device: it is for all projects');
    }
    const access = await import('./access-work.js');
    // HTTP makes no operator's keys, so its rules know the other roles only; the name's are the same for all.
    const members = { name, role: isOperator ? 'admin' : role, expires_at: expires, device_id: device };
    const body = await access.checkedBody(access.CreateKeyDto, members, OPTION_OF);
    const made = await access.withAccess(async (services) => {
      if (isOperator) return services.keys.create({ projectId: null, role: 'operator', name: body.name });
      const projectId = await access.projectIdOf(services, project ?? DEFAULT_PROJECT);
      return access.namingOptions(OPTION_OF, () => services.keys.createFromBody(projectId, body));
    });
    const where = isOperator ? 'for all projects' : `in the project ${project ?? DEFAULT_PROJECT}`;
    sayLine(`made the ${made.role} key ${made.key_id} ${where}; it is shown this once:`);
    printLine(made.key);
  }

  @Option({ flags: PROJECT_FLAGS, description: PROJECT_HELP })
  parseProject(value: string): string {
    return value;
  }

  @Option({
    flags: '--role <role>',
    description: 'admin, producer, analyst, device, or operator (of no project)',
    required: true,
  })
  parseRole(value: string): string {
    const roles: readonly Role[] = ['admin', 'producer', 'analyst', 'device', 'operator'];
    if ((roles as readonly string[]).includes(value)) return value;
    throw new UsageError(`--role must be one of ${roles.join(', ')}, not "${value}"`);
  }

  @Option({
    flags: '--name <text>',
    description: 'what the key is for, 1 to 255 characters',
    defaultValue: 'from the command line',
  })
  parseName(value: string): string {
    return value;
  }

  @Option({
    flags: '--expires <time>',
    description: 'when it stops working, such as 2031-01-01T00:00:00Z (default: never)',
  })
  parseExpires(value: string): string {
    return value;
  }

  @Option({ flags: '--device <id>', description: 'the device that a key of the role device speaks for' })
  parseDevice(value: string): string {
    return value;
  }
}

@SubCommand({ name: 'list', description: "list a project's keys, newest first, without the keys themselves" })
class KeyListCommand extends CommandRunner {
  async run(_: string[], { project = DEFAULT_PROJECT }: { project?: string }): Promise<void> {
    const { allOf, projectIdOf, withAccess } = await import('./access-work.js');
    const found = await withAccess(async (services) => {
      const projectId = await projectIdOf(services, project);
      return allOf((page) => services.keys.list(projectId, page));
    });
    const rows = found.map((key) => [
      key.key_id,
      key.role,
      key.prefix,
      key.expires_at ?? 'never',
      key.last_used_at ?? 'never',
      key.device_id ?? '-',
      key.name,
    ]);
    table(['KEY_ID', 'ROLE', 'PREFIX', 'EXPIRES_AT', 'LAST_USED_AT', 'DEVICE_ID', 'NAME'], rows).forEach(printLine);
  }

  @Option({ flags: PROJECT_FLAGS, description: PROJECT_HELP })
  parseProject(value: string): string {
    return value;
  }
}

@SubCommand({ name: 'revoke', arguments: '<key_id>', description: 'make a key stop working, within 5 seconds' })
class KeyRevokeCommand extends CommandRunner {
  async run([keyId = '']: string[], { project = DEFAULT_PROJECT }: { project?: string }): Promise<void> {
    const { projectIdOf, withAccess } = await import('./access-work.js');
    await withAccess(async (services) => services.keys.revoke(await projectIdOf(services, project), keyId));
    // A server that has just seen the key remembers it that long.
    printLine(`revoked the key ${keyId}; every server refuses it within 5 s`);
  }

  @Option({ flags: PROJECT_FLAGS, description: PROJECT_HELP })
  parseProject(value: string): string {
    return value;
  }
}

@Command({
  name: 'key',
  description: 'make, list and revoke keys, on the database',
  subCommands: [KeyCreateCommand, KeyListCommand, KeyRevokeCommand],
})
export class KeyCommand extends CommandGroup {}
