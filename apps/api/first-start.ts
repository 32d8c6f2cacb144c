import { FIRST_START } from '#audit';
import { describeUnmatched, KeySecret, KeyService, matchKeys, ProjectService } from '#access';
import { Config } from '#platform';
import { Database, holdMigrationLock } from '#database';
import { Injectable, Logger } from '@nestjs/common';
import { Fixtures } from './fixtures.js';

/** The keys that this start prints. */
export interface FirstKeys {
  admin?: string;
  operator?: string;
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
   * @returns the keys of the first start until one of them has been used, so that a start that failed after it created
   *   them does not lose them
   */
  async run(say: (line: string) => void): Promise<FirstKeys> {
    // Of several first starts at once, one does the work; none while a backup is restored.
    await this.database.retrying(() => holdMigrationLock(this.database, { say }, () => this.createMissing(say)));
    return this.findFirstKeys();
  }

  private async createMissing(say: (line: string) => void): Promise<void> {
    const { adminKey, operatorKey } = this.config.access;
    // Before keys are created with this secret.
    const unmatched = describeUnmatched(await matchKeys(this.database, this.secret), this.config);
    if (unmatched !== null) this.log.warn(unmatched);
    const project = await this.projects.ensureDefault(FIRST_START);
    const projectId = project.project_id;
    const admin = { projectId, role: 'admin', name: 'first admin' } as const;
    const operator = { projectId: null, role: 'operator', name: 'first operator' } as const;
    if (adminKey !== null) await this.keys.ensure(admin, adminKey, FIRST_START);
    else if (!(await this.keys.exists(admin))) await this.keys.createFirst(admin, FIRST_START);
    if (operatorKey !== null) await this.keys.ensure(operator, operatorKey, FIRST_START);
    else if (!(await this.keys.exists(operator))) await this.keys.createFirst(operator, FIRST_START);
    if (this.config.rules.seed && project.seeded_at === null) await this.seed(projectId, say);
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
