import { DEFAULT_PROJECT, KeySecret, KeyService, ProjectService } from '#access';
import { Config } from '#platform';
import { Database } from '#database';
import { Injectable } from '@nestjs/common';
import { Fixtures } from './fixtures.js';

/** Any number; the same in every process, so that of several that start at once only one makes what is missing. */
const FIRST_START_LOCK = 7_364_502;

/** The keys that this start made; shown once. */
export interface MadeKeys {
  admin?: string;
  operator?: string;
}

/** Makes what an empty installation needs: the project `default`, a key of an admin and one of an operator, fixtures. */
@Injectable()
export class FirstStart {
  constructor(
    private readonly projects: ProjectService,
    private readonly keys: KeyService,
    private readonly fixtures: Fixtures,
    private readonly secret: KeySecret,
    private readonly config: Config,
    private readonly database: Database,
  ) {}

  /** Does what is still to do; nothing on any later start. Every step can be repeated after a crash in between. */
  async run(say: (line: string) => void): Promise<MadeKeys> {
    const made: MadeKeys = {};
    await this.database.transaction(async (tx) => {
      // Held by this transaction alone; the work is done on other connections.
      await tx.query('SET LOCAL lock_timeout = 0');
      await tx.query('SELECT pg_advisory_xact_lock($1)', [FIRST_START_LOCK]);
      await this.make(made, say);
    });
    return made;
  }

  private async make(made: MadeKeys, say: (line: string) => void): Promise<void> {
    const { adminKey, operatorKey } = this.config.access;
    if (this.secret.isNew && (await this.projects.findByName(DEFAULT_PROJECT)) !== null) {
      say(
        'the key secret of this data dir was lost: keys made before work no more; make new ones with `stowage key create`',
      );
    }
    const projectId = await this.projects.ensureDefault();
    const admin = { projectId, role: 'admin', name: 'first admin' } as const;
    const operator = { projectId: null, role: 'operator', name: 'first operator' } as const;
    if (adminKey !== null) await this.keys.ensure(admin, adminKey);
    else if (!(await this.keys.exists(admin))) made.admin = (await this.keys.create(admin)).key;
    if (operatorKey !== null) await this.keys.ensure(operator, operatorKey);
    else if (!(await this.keys.exists(operator))) made.operator = (await this.keys.create(operator)).key;
    if (this.config.rules.seed) await this.seed(projectId, say);
  }

  /** Marked in the project, so that fixtures which somebody deleted do not come back. */
  private async seed(projectId: number, say: (line: string) => void): Promise<void> {
    const project = await this.projects.findByName(DEFAULT_PROJECT);
    if (project?.seededAt != null) return;
    const { objects, files } = await this.fixtures.load(projectId);
    await this.projects.markSeeded(projectId);
    say(`loaded fixtures: ${String(objects)} objects of ${String(files)} files`);
  }
}
