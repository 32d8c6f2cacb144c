import { Command, CommandRunner, Option, SubCommand } from 'nest-commander';
import type { ChainOptions, ChainReport, KnownHead } from './audit-services.js';
import { CommandGroup } from './command-group.js';
import { printLine, table } from './output.js';
import { PROJECT_OPTION } from './project-option.js';
import { UsageError } from './usage-error.js';

/** The option that each query parameter of the API came from. */
const OPTION_NAMES = {
  action: '--action',
  key_id: '--key',
  target_type: '--target-type',
  target_id: '--target',
  from: '--from',
  until: '--until',
};
const LIMIT_DEFAULT = 100;
const LIMIT_MAX = 100_000;

/** A command about the entries of a project, or those of the installation itself. */
abstract class ChainCommand extends CommandRunner {
  @Option(PROJECT_OPTION)
  parseProject(value: string): string {
    return value;
  }

  @Option({ flags: '--installation', description: 'the entries about projects and operator keys' })
  parseInstallation(): boolean {
    return true;
  }

  /** @throws UsageError */
  protected requireOneChain({ project, installation = false }: ChainOptions): void {
    if (installation && project !== undefined) throw new UsageError('--installation takes no --project');
  }
}

interface ListOptions extends ChainOptions {
  action?: string;
  key?: string;
  targetType?: string;
  target?: string;
  from?: string;
  until?: string;
  limit: number;
}

@SubCommand({ name: 'list', description: 'list the entries of a project, newest first' })
class AuditListCommand extends ChainCommand {
  async run(_: string[], { limit, ...options }: ListOptions): Promise<void> {
    this.requireOneChain(options);
    const { action, key: key_id, targetType: target_type, target: target_id, from, until } = options;
    const audit = await import('./audit-services.js');
    const members = { action, key_id, target_type, target_id, from, until };
    const filter = await audit.validateQuery(audit.AuditQuery, members, OPTION_NAMES);
    const entries = await audit.withAudit(async ({ store, getChain }) => {
      const chain = await getChain(options);
      return audit.listFirst(limit, (page) => store.list(chain, filter, page, { maySeeData: true }));
    });
    const rows = entries.map(({ number, created_at, action: done, actor, target, details, address }) => [
      String(number),
      created_at,
      done,
      actor.key_id === null ? actor.name : `${actor.key_id} ${actor.name}`,
      target === null ? '-' : `${target.type} ${target.id ?? ''}`,
      address ?? '-',
      JSON.stringify(details),
    ]);
    table(['NUMBER', 'CREATED_AT', 'ACTION', 'ACTOR', 'TARGET', 'ADDRESS', 'DETAILS'], rows).forEach(printLine);
  }

  @Option({ flags: '--action <name>', description: 'only this action, such as object.delete' })
  parseAction(value: string): string {
    return value;
  }

  @Option({ flags: '--key <key_id>', description: 'only what was done with this key' })
  parseKey(value: string): string {
    return value;
  }

  @Option({ flags: '--target-type <type>', description: 'only object, batch, key, device or project' })
  parseTargetType(value: string): string {
    return value;
  }

  @Option({ flags: '--target <id>', description: 'only the target with this id' })
  parseTarget(value: string): string {
    return value;
  }

  @Option({ flags: '--from <time>', description: 'only entries of this time or later' })
  parseFrom(value: string): string {
    return value;
  }

  @Option({ flags: '--until <time>', description: 'only entries before this time' })
  parseUntil(value: string): string {
    return value;
  }

  @Option({
    flags: '--limit <n>',
    description: `the most entries, 1 to ${String(LIMIT_MAX)}`,
    defaultValue: LIMIT_DEFAULT,
  })
  parseLimit(value: string): number {
    const limit = /^\d{1,6}$/.test(value) ? Number(value) : 0;
    if (limit >= 1 && limit <= LIMIT_MAX) return limit;
    throw new UsageError(`--limit must be a whole number from 1 to ${String(LIMIT_MAX)}, not "${value}"`);
  }
}

@SubCommand({
  name: 'verify',
  description: 'check that no entry was changed or removed; exits with 1 if one was',
})
class AuditVerifyCommand extends ChainCommand {
  async run(_: string[], options: ChainOptions & { head?: KnownHead }): Promise<void> {
    this.requireOneChain(options);
    const { head, project, installation } = options;
    const isOne = project !== undefined || installation === true;
    if (head !== undefined && !isOne) throw new UsageError('--head needs --project or --installation');
    const { INSTALLATION, withAudit } = await import('./audit-services.js');
    const print = ({ projectId, head: { number, hash }, faults }: ChainReport): void => {
      const chain = projectId === INSTALLATION ? 'installation' : `project ${String(projectId)}`;
      for (const fault of faults) printLine(`${chain}: ${fault}`);
      if (faults.length > 0) process.exitCode = 1;
      else printLine(`${chain}: valid, head ${String(number)}:${hash}`);
    };
    await withAudit(async ({ verifier, getChain }) => {
      const chains = isOne ? [await getChain(options)] : await verifier.listChains();
      for (const chain of chains) print(await verifier.verify(chain, head));
    });
  }

  @Option({ ...PROJECT_OPTION, description: 'only this project (default: the installation and all projects)' })
  override parseProject(value: string): string {
    return value;
  }

  @Option({ flags: '--installation', description: 'only the entries about projects and operator keys' })
  override parseInstallation(): boolean {
    return true;
  }

  @Option({
    flags: '--head <number:hash>',
    description: 'a head that verify printed earlier, to detect that all entries were written again',
  })
  parseHead(value: string): KnownHead {
    const [, number = '', hash = ''] = /^(\d{1,18}):((?:[0-9a-f]{64})?)$/.exec(value) ?? [];
    if (number !== '') return { number: BigInt(number), hash };
    throw new UsageError(`--head must be <number>:<hash> as verify prints it, not "${value}"`);
  }
}

@Command({
  name: 'audit',
  description: 'list and verify the audit log, in the database',
  subCommands: [AuditListCommand, AuditVerifyCommand],
})
export class AuditCommand extends CommandGroup {}
