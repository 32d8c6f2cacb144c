import { randomInt } from 'node:crypto';
import { AuditLog, type Actor } from '#audit';
import { Config } from '#platform';
import { Problem, type PageRequest, type Principal } from '#http';
import {
  Database,
  isUniqueViolation,
  Sequence,
  timeOfSeq,
  type Queryable,
  countRows,
  readSlice,
  type Count,
  type ListSql,
  type Slice,
} from '#database';
import { Injectable } from '@nestjs/common';
import { InjectRepository } from '@nestjs/typeorm';
import { Repository } from 'typeorm';
import type { ProjectDto } from './project.dto.js';
import { PROJECT_ID_MAX, ProjectEntity } from './project.entity.js';

/** The project that the first start creates. */
export const DEFAULT_PROJECT = 'default';

const PROJECT_COLUMNS = ['project_id', 'name', 'seq'] as const satisfies readonly (keyof ProjectEntity)[];
type ProjectRow = Pick<ProjectEntity, (typeof PROJECT_COLUMNS)[number]>;

const INSERT = `INSERT INTO projects (project_id, seq, name) VALUES ($1, $2, $3)`;

const SELECT_BY_ID = `SELECT FROM projects WHERE project_id = $1`;

@Injectable()
export class ProjectService {
  constructor(
    @InjectRepository(ProjectEntity) private readonly projects: Repository<ProjectEntity>,
    private readonly audit: AuditLog,
    private readonly database: Database,
    private readonly sequence: Sequence,
    private readonly config: Config,
  ) {}

  /** @throws Problem conflict when the name exists already */
  async create(name: string, actor: Actor): Promise<ProjectDto> {
    const project: ProjectEntity = {
      project_id: randomInt(1, PROJECT_ID_MAX),
      seq: this.sequence.next().toString(),
      name,
      seeded_at: null,
      objects_max: null,
      bytes_max: null,
    };
    try {
      await this.database.transaction(async (tx) => {
        await tx.query(INSERT, [project.project_id, project.seq, name]);
        const target = { type: 'project', id: String(project.project_id) } as const;
        await this.audit.append(tx, { projectId: null, actor, action: 'project.create', target, details: { name } });
      });
    } catch (error) {
      if (!isUniqueViolation(error)) throw error;
      // The random id exists: one case in 2^31.
      if (!(await this.projects.existsBy({ name }))) return this.create(name, actor);
      throw new Problem('conflict', {
        detail: `The project name "${name}" exists already.`,
        errors: [{ pointer: '/name', detail: `"${name}" exists already` }],
      });
    }
    return toProjectDto(project);
  }

  findByName(name: string): Promise<ProjectEntity | null> {
    return this.projects.findOneBy({ name });
  }

  /** Returns the id of the project `default`, which is created if it does not exist. */
  async ensureDefault(actor: Actor): Promise<number> {
    const found = await this.findByName(DEFAULT_PROJECT);
    if (found !== null) return found.project_id;
    try {
      return (await this.create(DEFAULT_PROJECT, actor)).project_id;
    } catch (error) {
      // Another process created it in between.
      if (!(error instanceof Problem && error.slug === 'conflict')) throw error;
      return this.ensureDefault(actor);
    }
  }

  async exists(projectId: number, on: Queryable): Promise<boolean> {
    return (await on.query(SELECT_BY_ID, [projectId])).length > 0;
  }

  async markSeeded(projectId: number): Promise<void> {
    await this.projects.update({ project_id: projectId }, { seeded_at: new Date() });
  }

  /** @param id as in a URL. @throws Problem not-found, for an admin also for every project but its own */
  async get(principal: Principal, id: string): Promise<ProjectDto> {
    const projectId = /^[1-9]\d{0,9}$/.test(id) ? Number(id) : NaN;
    const isAllowed = principal.role === 'operator' || principal.projectId === projectId;
    const project =
      isAllowed && projectId <= PROJECT_ID_MAX ? await this.projects.findOneBy({ project_id: projectId }) : null;
    if (project === null) throw new Problem('not-found', { detail: 'Project not found.' });
    return toProjectDto(project);
  }

  /** Lists all projects, newest first. */
  async list(page: PageRequest): Promise<{ slice: Slice<ProjectDto & { seq: string }>; count: Count }> {
    const select = PROJECT_COLUMNS.join(', ');
    const list: ListSql = { select, from: 'projects', where: 'TRUE', seq: 'seq', values: [] };
    const slice = await readSlice<ProjectRow>(page.on ?? this.database, list, page);
    const items = slice.items.map((project) => ({ seq: project.seq, ...toProjectDto(project) }));
    return {
      slice: { ...slice, items },
      count: await countRows(page.on ?? this.database, list, page.count, this.config.limits.countCap),
    };
  }
}

function toProjectDto({ project_id, name, seq }: ProjectRow): ProjectDto {
  return { project_id, name, created_at: timeOfSeq(seq) };
}
