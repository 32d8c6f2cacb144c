import type { KeyDto } from '#access';
import type { Role } from '#http';
import { Command, CommandRunner, Option, SubCommand } from 'nest-commander';
import type { AccessServices } from './access-services.js';
import { CommandGroup } from './command-group.js';
import { printLine, printMessage, table } from './output.js';
import { PROJECT_OPTION } from './project-option.js';
import { readConfig } from '../read-config.js';
import { UsageError } from './usage-error.js';

/** Repeated here, because importing #http takes longer than the rest of the command. */
const ROLES: readonly Role[] = ['admin', 'producer', 'analyst', 'device', 'operator'];
const OPTION_NAMES = { name: '--name', role: '--role', expires_at: '--expires', device_id: '--device' };

/** Keys that `key secret` lists; it counts all of them. */
const LISTED_KEYS_MAX = 100;

interface CreateKeyOptions {
  project?: string;
  role: string;
  name: string;
  expires?: string;
  device?: string;
  canary?: boolean;
}

/** The option or argument that each member of a body came from. */
type OptionNames = Readonly<Record<string, string>>;

/** The keys that a command is about: those of a project, or the operator keys, which belong to no project. */
interface ScopeOptions {
  project?: string;
  operator?: boolean;
}

@SubCommand({ name: 'create', description: 'create a key and print it; it is shown only once' })
class KeyCreateCommand extends CommandRunner {
  async run(_: string[], { project, role, name, expires, device, canary }: CreateKeyOptions): Promise<void> {
    const isOperator = role === 'operator';
    if (isOperator && [project, expires, device, canary].some((option) => option !== undefined)) {
      throw new UsageError(
        '--role operator takes no --project, --expires, --device or --canary: it is for all projects',
      );
    }
    const access = await import('./access-services.js');
    // The API creates no operator keys, so its DTO rejects that role. The rules for the name are the same for every role.
    const members = { name, role: isOperator ? 'admin' : role, expires_at: expires, device_id: device, canary };
    const body = await access.validateOptions(access.CreateKeyDto, members, OPTION_NAMES);
    const { created, scope } = await access.withAccessToCreate(async (services) => {
      if (isOperator) {
        const key = { projectId: null, role: 'operator', name: body.name } as const;
        return { created: await services.keys.create(key, access.COMMAND_LINE), scope: 'for all projects' };
      }
      const { project_id, name: projectName } = await access.getProjectForKey(services, project);
      const created = await access.withOptionNames(OPTION_NAMES, () =>
        services.keys.createFromBody(project_id, body, access.COMMAND_LINE),
      );
      return { created, scope: `in project ${projectName}` };
    });
    printMessage(`created ${kindOf(created)} key ${created.key_id} ${scope}; it is shown only once:`);
    printLine(created.key);
  }

  @Option(PROJECT_OPTION)
  parseProject(value: string): string {
    return value;
  }

  @Option({
    flags: '--role <role>',
    description: 'admin, producer, analyst, device, or operator (belongs to no project)',
    required: true,
  })
  parseRole(value: string): string {
    if ((ROLES as readonly string[]).includes(value)) return value;
    throw new UsageError(`--role must be one of ${ROLES.join(', ')}, not "${value}"`);
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
    description: 'when the key expires, such as 2031-01-01T00:00:00Z (default: never)',
  })
  parseExpires(value: string): string {
    return value;
  }

  @Option({ flags: '--canary', description: 'a key that never works, whose use raises an alert' })
  parseCanary(): boolean {
    return true;
  }

  @Option({ flags: '--device <id>', description: 'the device of a key with the role device' })
  parseDevice(value: string): string {
    return value;
  }
}

@SubCommand({
  name: 'list',
  description: 'list the keys of a project or the operator keys, newest first, also revoked ones, without secrets',
})
class KeyListCommand extends CommandRunner {
  async run(_: string[], options: ScopeOptions): Promise<void> {
    const { listAll, withAccess } = await import('./access-services.js');
    const keys = await withAccess(async (services) => {
      const projectId = await getScopeProjectId(services, options);
      return listAll((page) => services.keyStore.list(projectId, page));
    });
    printKeys(keys);
  }

  @Option(PROJECT_OPTION)
  parseProject(value: string): string {
    return value;
  }

  @Option({ flags: '--operator', description: 'list the operator keys, which belong to no project' })
  parseOperator(): boolean {
    return true;
  }
}

/** A command about one key of a project, or one operator key. */
abstract class OneKeyCommand extends CommandRunner {
  /** Validates the options like the body of a PATCH, and changes the key. */
  protected async update(
    keyId: string,
    scope: ScopeOptions,
    members: Readonly<Record<string, unknown>>,
    names: OptionNames,
  ): Promise<void> {
    const access = await import('./access-services.js');
    const body = await access.validateOptions(access.UpdateKeyDto, members, names);
    await access.withAccess(async (services) => {
      const projectId = await getScopeProjectId(services, scope);
      return access.withOptionNames(names, () =>
        services.keys.update({ projectId, keyId, actor: access.COMMAND_LINE }, body),
      );
    });
  }

  @Option(PROJECT_OPTION)
  parseProject(value: string): string {
    return value;
  }

  @Option({ flags: '--operator', description: 'an operator key, which belongs to no project' })
  parseOperator(): boolean {
    return true;
  }
}

@SubCommand({
  name: 'get',
  arguments: '<key_id>',
  description: 'print a key of a project or an operator key, also a revoked one, without its secret',
})
class KeyGetCommand extends OneKeyCommand {
  async run([keyId = '']: string[], scope: ScopeOptions): Promise<void> {
    const { withAccess } = await import('./access-services.js');
    const key = await withAccess(async (services) =>
      services.keys.get(await getScopeProjectId(services, scope), keyId),
    );
    printKeys([key]);
  }
}

@SubCommand({
  name: 'rename',
  arguments: '<key_id> <name>',
  description: 'change the name of a key, 1 to 255 characters',
})
class KeyRenameCommand extends OneKeyCommand {
  async run([keyId = '', name = '']: string[], scope: ScopeOptions): Promise<void> {
    await this.update(keyId, scope, { name }, { name: '<name>' });
    printLine(`renamed key ${keyId}`);
  }
}

@SubCommand({
  name: 'expire',
  arguments: '<key_id> <time>',
  description: 'change when a key expires, such as 2031-01-01T00:00:00Z or never',
})
class KeyExpireCommand extends OneKeyCommand {
  async run([keyId = '', time = '']: string[], scope: ScopeOptions): Promise<void> {
    await this.update(keyId, scope, { expires_at: time === 'never' ? null : time }, { expires_at: '<time>' });
    printLine(
      `key ${keyId} ${time === 'never' ? 'never expires' : `expires at ${time}`}; every server applies it within 5 s`,
    );
  }
}

@SubCommand({
  name: 'rotate',
  arguments: '<key_id>',
  description: 'replace a key by a new one and print it; the old one works until the overlap ends',
})
class KeyRotateCommand extends OneKeyCommand {
  async run([keyId = '']: string[], { overlap, ...scope }: ScopeOptions & { overlap?: string }): Promise<void> {
    const access = await import('./access-services.js');
    // Other text is passed on, so that the DTO rejects it.
    const overlap_seconds = overlap !== undefined && /^\d{1,15}$/.test(overlap) ? Number(overlap) : overlap;
    const body = await access.validateOptions(
      access.RotateKeyDto,
      { overlap_seconds },
      { overlap_seconds: '--overlap' },
    );
    const created = await access.withAccessToCreate(async (services) =>
      services.keys.rotate(await getScopeProjectId(services, scope), keyId, body, access.COMMAND_LINE),
    );
    printMessage(`created ${kindOf(created)} key ${created.key_id}, which replaces ${keyId}; it is shown only once:`);
    printLine(created.key);
  }

  @Option({
    flags: '--overlap <seconds>',
    description: 'how long the old key still works, 0 to 604800 (default: 86400)',
  })
  parseOverlap(value: string): string {
    return value;
  }
}

@SubCommand({
  name: 'revoke',
  arguments: '<key_id>',
  description: 'revoke a key; every server rejects it within 5 seconds',
})
class KeyRevokeCommand extends OneKeyCommand {
  async run([keyId = '']: string[], options: ScopeOptions): Promise<void> {
    const { COMMAND_LINE, withAccess } = await import('./access-services.js');
    await withAccess(async (services) =>
      services.keys.revoke({ projectId: await getScopeProjectId(services, options), keyId, actor: COMMAND_LINE }),
    );
    // A server caches a key that it has authenticated for that long.
    printLine(`revoked key ${keyId}; every server rejects it within 5 s`);
  }
}

@SubCommand({
  name: 'secret',
  description: 'list the keys that stop working when the previous key secret is removed',
})
class KeySecretCommand extends CommandRunner {
  async run(): Promise<void> {
    const { withAccess } = await import('./access-services.js');
    const { keys, count } = await withAccess((services) => services.keys.listOfPreviousSecrets(LISTED_KEYS_MAX));
    if (count === 0) printLine('every key that works uses the current key secret; the previous one can be removed');
    else
      printLine(
        `${String(count)} ${count === 1 ? 'key needs' : 'keys need'} the previous key secret until the next use`,
      );
    if (count === 0) return;
    const rows = keys.map((key) => [
      key.key_id,
      key.project_id === null ? '-' : String(key.project_id),
      key.canary ? `${key.role} (canary)` : key.role,
      key.last_used_at ?? 'never',
      key.name,
    ]);
    table(['KEY_ID', 'PROJECT_ID', 'ROLE', 'LAST_USED_AT', 'NAME'], rows).forEach(printLine);
    if (count > keys.length) printLine(`and ${String(count - keys.length)} more`);
  }
}

@SubCommand({
  name: 'rotate-secret',
  description: 'replace the key secret in the data dir; keys work by the previous one until their next use',
})
class KeyRotateSecretCommand extends CommandRunner {
  async run(): Promise<void> {
    const { KeySecret } = await import('./access-services.js');
    const previousPath = await KeySecret.rotate(readConfig());
    printLine('created a new key secret; restart the server and the workers now');
    printLine(`delete ${previousPath} when \`stowage key secret\` lists no keys`);
  }
}

/** A canary never works with its role. */
function kindOf({ canary, role }: Pick<KeyDto, 'canary' | 'role'>): string {
  return canary ? 'canary' : role;
}

function printKeys(keys: readonly KeyDto[]): void {
  const rows = keys.map((key) => [
    key.key_id,
    key.role,
    key.status,
    key.prefix,
    key.expires_at ?? 'never',
    key.last_used_at ?? 'never',
    key.device_id ?? '-',
    key.canary ? 'yes' : '-',
    key.name,
  ]);
  table(
    ['KEY_ID', 'ROLE', 'STATUS', 'PREFIX', 'EXPIRES_AT', 'LAST_USED_AT', 'DEVICE_ID', 'CANARY', 'NAME'],
    rows,
  ).forEach(printLine);
}

/** Returns the id of the project whose keys are meant; null for the operator keys. @throws UsageError */
async function getScopeProjectId(
  services: AccessServices,
  { project, operator = false }: ScopeOptions,
): Promise<number | null> {
  if (operator && project !== undefined) {
    throw new UsageError('--operator takes no --project: operator keys belong to no project');
  }
  if (operator) return null;
  const { getProjectId } = await import('./access-services.js');
  return getProjectId(services, project);
}

@Command({
  name: 'key',
  description: 'create, list, get, change and revoke API keys, in the database',
  subCommands: [
    KeyCreateCommand,
    KeyListCommand,
    KeyGetCommand,
    KeyRenameCommand,
    KeyExpireCommand,
    KeyRotateCommand,
    KeyRevokeCommand,
    KeySecretCommand,
    KeyRotateSecretCommand,
  ],
})
export class KeyCommand extends CommandGroup {}
