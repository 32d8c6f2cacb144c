import { randomInt } from 'node:crypto';
import { Config } from '#platform';
import {
  countRows,
  Problem,
  readSlice,
  type Count,
  type ListSql,
  type PageRequest,
  type Principal,
  type Slice,
} from '#http';
import { Database, isUniqueViolation, Sequence, timeOfSeq } from '#database';
import { Injectable } from '@nestjs/common';
import { InjectRepository } from '@nestjs/typeorm';
import { Repository } from 'typeorm';
import type { ProjectDto } from './access.dto.js';
import { PROJECT_ID_MAX, ProjectEntity } from './project.entity.js';

/** The project that a first start makes. */
export const DEFAULT_PROJECT = 'default';

@Injectable()
export class ProjectService {
  constructor(
    @InjectRepository(ProjectEntity) private readonly projects: Repository<ProjectEntity>,
    private readonly database: Database,
    private readonly sequence: Sequence,
    private readonly config: Config,
  ) {}

  /** @throws Problem conflict when there is a project of this name. */
  async create(name: string): Promise<ProjectDto> {
    const project = {
      projectId: randomInt(1, PROJECT_ID_MAX),
      seq: this.sequence.next().toString(),
      name,
      seededAt: null,
    };
    try {
      await this.projects.insert(project);
    } catch (error) {
      if (!isUniqueViolation(error)) throw error;
      if (!(await this.projects.existsBy({ name }))) return this.create(name); // The id was taken, once in 2^31.
      throw new Problem('conflict', {
        detail: `There is a project "${name}" already.`,
        errors: [{ pointer: '/name', detail: `"${name}" exists already` }],
      });
    }
    return toDto(project);
  }

  async findByName(name: string): Promise<ProjectEntity | null> {
    return this.projects.findOneBy({ name });
  }

  /** The id of the project `default`, which is created when it is missing. */
  async ensureDefault(): Promise<number> {
    const found = await this.findByName(DEFAULT_PROJECT);
    if (found !== null) return found.projectId;
    try {
      return (await this.create(DEFAULT_PROJECT)).project_id;
    } catch (error) {
      // Another process created it in between.
      if (!(error instanceof Problem && error.slug === 'conflict')) throw error;
      return this.ensureDefault();
    }
  }

  async markSeeded(projectId: number): Promise<void> {
    await this.projects.update({ projectId }, { seededAt: new Date() });
  }

  /** @throws Problem not-found, for an admin also for every project but its own. */
  async get(principal: Principal, id: string): Promise<ProjectDto> {
    const projectId = /^[1-9]\d{0,9}$/.test(id) ? Number(id) : NaN;
    const mayKnow = principal.role === 'operator' || principal.projectId === projectId;
    const project = mayKnow && projectId <= PROJECT_ID_MAX ? await this.projects.findOneBy({ projectId }) : null;
    if (project === null) throw new Problem('not-found', { detail: 'There is no such project.' });
    return toDto(project);
  }

  async list(page: PageRequest): Promise<{ slice: Slice<ProjectDto & { seq: string }>; count: Count }> {
    const list: ListSql = { select: 'seq, project_id, name', from: 'projects', where: 'TRUE', seq: 'seq', values: [] };
    const slice = await readSlice<ProjectDto & { seq: string }>(this.database, list, page);
    for (const item of slice.items) item.created_at = timeOfSeq(item.seq);
    return { slice, count: await countRows(this.database, list, page.count, this.config.limits.countCap) };
  }
}

function toDto({ projectId, name, seq }: Pick<ProjectEntity, 'projectId' | 'name' | 'seq'>): ProjectDto {
  return { project_id: projectId, name, created_at: timeOfSeq(seq) };
}
