import { FIRST_START } from '#audit';
import { describeUnmatched, KeySecret, KeyService, matchKeys, ProjectService, type NewKey } from '#access';
import { Config } from '#platform';
import { Database, holdMigrationLock } from '#database';
import { Injectable, Logger } from '@nestjs/common';
import { Fixtures } from './fixtures.js';

/** The keys that this start prints. */
export interface FirstKeys {
  admin?: string;
  operator?: string;
}

/** A key that an installation has from its first start. */
interface FirstKey {
  key: NewKey;
  /** That of a setting, or null where the start makes one. */
  secret: string | null;
}

/** Creates what an empty installation lacks: its project, an admin key, an operator key, the fixtures. */
@Injectable()
export class FirstStart {
  private readonly log = new Logger('access');

  constructor(
    private readonly projects: ProjectService,
    private readonly keys: KeyService,
    private readonly fixtures: Fixtures,
    private readonly secret: KeySecret,
    private readonly config: Config,
    private readonly database: Database,
  ) {}

  /**
   * Runs the steps that no earlier start has finished. Each step can be repeated after a crash.
   * @param signal ends the wait for another process
   * @returns the keys of the first start until one of them has been used, so that a start that failed after it created
   *   them does not lose them
   */
  async run(say: (line: string) => void, signal?: AbortSignal): Promise<FirstKeys> {
    await this.database.retrying(async () => {
      // The lock is not waited for where nothing is to be done: a migration of a newer version may hold it for hours.
      if (await this.isComplete()) await this.warnOfUnmatchedKeys();
      // Of several first starts at once, one does the work.
      else await holdMigrationLock(this.database, { say, signal }, () => this.createMissing(say));
    });
    return this.findFirstKeys();
  }

  private async isComplete(): Promise<boolean> {
    const project = await this.projects.findDefault();
    if (project === null || (this.config.rules.seed && project.seeded_at === null)) return false;
    for (const first of this.firstKeys(project.project_id)) if (!(await this.exists(first))) return false;
    return true;
  }

  private async createMissing(say: (line: string) => void): Promise<void> {
    // Before keys are created with this secret.
    await this.warnOfUnmatchedKeys();
    const project = await this.projects.ensureDefault(FIRST_START);
    const projectId = project.project_id;
    for (const first of this.firstKeys(projectId)) {
      if (await this.exists(first)) continue;
      if (first.secret === null) await this.keys.createFirst(first.key, FIRST_START);
      else await this.keys.ensure(first.key, first.secret, FIRST_START);
    }
    if (this.config.rules.seed && project.seeded_at === null) await this.seed(projectId, say);
  }

  private async warnOfUnmatchedKeys(): Promise<void> {
    const unmatched = describeUnmatched(await matchKeys(this.database, this.secret), this.config);
    if (unmatched !== null) this.log.warn(unmatched);
  }

  private firstKeys(projectId: number): FirstKey[] {
    const { adminKey, operatorKey } = this.config.access;
    return [
      { key: { projectId, role: 'admin', name: 'first admin' }, secret: adminKey },
      { key: { projectId: null, role: 'operator', name: 'first operator' }, secret: operatorKey },
    ];
  }

  private exists({ key, secret }: FirstKey): Promise<boolean> {
    return secret === null ? this.keys.exists(key) : this.keys.existsOf(secret);
  }

  /** The keys of the first start, without those that a setting replaces. */
  private async findFirstKeys(): Promise<FirstKeys> {
    const { adminKey, operatorKey } = this.config.access;
    const keys: FirstKeys = {};
    for (const { role, key } of await this.keys.listFirstKeys()) {
      if (role === 'admin' && adminKey === null) keys.admin = key;
      if (role === 'operator' && operatorKey === null) keys.operator = key;
    }
    return keys;
  }

  /** Records the load in the project, so that deleted fixtures do not come back. */
  private async seed(projectId: number, say: (line: string) => void): Promise<void> {
    const { objects, files } = await this.fixtures.load(projectId);
    await this.projects.markSeeded(projectId);
    say(`loaded fixtures: ${String(objects)} objects of ${String(files)} files`);
  }
}
