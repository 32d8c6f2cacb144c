import { randomInt } from 'node:crypto';
import { AuditLog, type Actor } from '#audit';
import { EncryptedKeys } from '#encryption';
import { Config, PROJECT_ID_MAX } from '#platform';
import { checkPreconditions, etagOfJson, Problem, type PageRequest, type Preconditions, type Principal } from '#http';
import { QuotaStore, toNumber } from '#usage';
import {
  Database,
  isUniqueViolation,
  Sequence,
  timeOfSeq,
  type Queryable,
  readPage,
  type Count,
  type ListSql,
  type Slice,
} from '#database';
import { Injectable } from '@nestjs/common';
import { InjectRepository } from '@nestjs/typeorm';
import { Repository } from 'typeorm';
import { PRECONDITION_RULES } from './precondition-rules.js';
import type { CreateProjectDto, ProjectDto, UpdateProjectDto } from './project.dto.js';
import { ProjectEncryption } from './project-encryption.js';
import { ProjectEntity } from './project.entity.js';

/** The name with which the first start creates its project. */
const DEFAULT_NAME = 'default';

const PROJECT_COLUMNS = [
  'project_id',
  'name',
  'seq',
  'objects_max',
  'bytes_max',
  'retention_days',
  'encrypted_keys',
  'encryption_removed_keys',
  'encryption_key_id',
  'encryption_cursor',
] as const satisfies readonly (keyof ProjectEntity)[];
type ProjectRow = Pick<ProjectEntity, (typeof PROJECT_COLUMNS)[number]>;

const INSERT = `
  INSERT INTO projects (${PROJECT_COLUMNS.join(', ')})
  VALUES (${PROJECT_COLUMNS.map((_, index) => `$${String(index + 1)}`).join(', ')})`;

const LOCK = `SELECT ${PROJECT_COLUMNS.join(', ')} FROM projects WHERE project_id = $1 FOR NO KEY UPDATE`;

/** Waits for transactions that create a key, a device or usage of the project, and keeps later ones waiting. */
const LOCK_FOR_DELETE = `SELECT ${PROJECT_COLUMNS.join(', ')} FROM projects WHERE project_id = $1 FOR UPDATE`;

const DELETE = `DELETE FROM projects WHERE project_id = $1`;

/** The audit log keeps the chain of a deleted project, and rows of it may still be deleted, so its id is never used again. */
const WAS_DELETED = `SELECT FROM deleted_projects WHERE project_id = $1`;

const UPDATE = `
  UPDATE projects SET name = $2, objects_max = $3, bytes_max = $4, retention_days = $5, encrypted_keys = $6,
    encryption_key_id = $7, encryption_cursor = $8, encryption_removed_keys = $9
  WHERE project_id = $1`;

/** Every transaction that begins some time after it knows the list; see docs/decisions/044. By the clock of the database. */
const LIST_CHANGED = `UPDATE projects SET encryption_changed_at = clock_timestamp() WHERE project_id = $1`;

/** Whether the installation has a project, or had one. */
const HAD_PROJECTS = 'SELECT 1 FROM projects UNION ALL SELECT 1 FROM deleted_projects LIMIT 1';

/** The project exists until the end of the transaction. */
const LOCK_SHARED = `SELECT FROM projects WHERE project_id = $1 FOR KEY SHARE`;

@Injectable()
export class ProjectService {
  constructor(
    @InjectRepository(ProjectEntity) private readonly projects: Repository<ProjectEntity>,
    private readonly quotas: QuotaStore,
    private readonly audit: AuditLog,
    private readonly database: Database,
    private readonly sequence: Sequence,
    private readonly encryption: ProjectEncryption,
    private readonly encryptedKeys: EncryptedKeys,
    private readonly config: Config,
  ) {}

  /** @throws Problem conflict when the name exists already; invalid-body for keys that cannot be encrypted */
  async create(body: CreateProjectDto, actor: Actor): Promise<ProjectDto> {
    const { name, objects_max = null, bytes_max = null, retention_days = null, encrypted_keys = null } = body;
    await this.encryption.requireEncryptable(encrypted_keys);
    const projectId = randomInt(1, PROJECT_ID_MAX);
    if ((await this.database.query(WAS_DELETED, [projectId])).length > 0) return this.create(body, actor);
    const project: ProjectRow = {
      project_id: projectId,
      seq: this.sequence.next().toString(),
      name,
      objects_max: toText(objects_max),
      bytes_max: toText(bytes_max),
      retention_days,
      ...this.encryption.columnsOf(null, encrypted_keys),
    };
    try {
      await this.database.transaction(async (tx) => {
        await tx.query(
          INSERT,
          PROJECT_COLUMNS.map((column) => project[column]),
        );
        if (encrypted_keys !== null) await tx.query(LIST_CHANGED, [project.project_id]);
        await this.quotas.apply(tx, project.project_id);
        const target = { type: 'project', id: String(project.project_id) } as const;
        await this.audit.append(tx, { projectId: null, actor, action: 'project.create', target, details: { name } });
      });
    } catch (error) {
      if (!isUniqueViolation(error)) throw error;
      // The random id exists: one case in 2^31.
      if (!(await this.projects.existsBy({ name }))) return this.create(body, actor);
      throw nameExists(name);
    }
    // Writes of this process are encrypted by the list from now on, those of others when they have read it.
    if (encrypted_keys !== null) await this.encryptedKeys.read();
    return this.toProjectDto(project);
  }

  /**
   * Changes the name, the limits, the retention or the encrypted keys of a project. New limits apply to every write that is committed after this.
   * @param id as in a URL
   * @throws Problem not-found; conflict when the name exists already, or too many keys were removed; precondition-failed; invalid-body for
   * keys that cannot be encrypted, also because something needs their values
   */
  async update(
    id: string,
    body: UpdateProjectDto,
    actor: Actor,
    preconditions: Preconditions = {},
  ): Promise<ProjectDto> {
    const projectId = parseProjectId(id);
    await this.encryption.requireEncryptable(body.encrypted_keys ?? null);
    try {
      const updated = await this.database.transaction(async (tx) => {
        const [project] = projectId === null ? [] : await tx.query<ProjectRow>(LOCK, [projectId]);
        if (project === undefined) throw projectNotFound();
        checkPreconditions(preconditions, etagOfJson(this.toProjectDto(project)), PRECONDITION_RULES);
        const { name = project.name, objects_max, bytes_max, retention_days = project.retention_days } = body;
        const { encrypted_keys = project.encrypted_keys } = body;
        await this.encryption.requireUnused(tx, project, encrypted_keys ?? []);
        const changed = {
          ...project,
          name,
          objects_max: objects_max === undefined ? project.objects_max : toText(objects_max),
          bytes_max: bytes_max === undefined ? project.bytes_max : toText(bytes_max),
          retention_days,
          ...this.encryption.columnsOf(project, encrypted_keys),
        };
        await tx.query(UPDATE, [
          projectId,
          name,
          changed.objects_max,
          changed.bytes_max,
          retention_days,
          changed.encrypted_keys,
          changed.encryption_key_id,
          changed.encryption_cursor,
          changed.encryption_removed_keys,
        ]);
        if (changed.encrypted_keys !== project.encrypted_keys) await tx.query(LIST_CHANGED, [projectId]);
        if (objects_max !== undefined || bytes_max !== undefined) await this.quotas.apply(tx, project.project_id);
        const details = changesOf(project, changed);
        if (Object.keys(details).length > 0) {
          const target = { type: 'project', id: String(projectId) } as const;
          await this.audit.append(tx, { projectId: null, actor, action: 'project.update', target, details });
        }
        return this.toProjectDto(changed);
      });
      if (body.encrypted_keys !== undefined) await this.encryptedKeys.read();
      return updated;
    } catch (error) {
      if (!isUniqueViolation(error)) throw error;
      throw nameExists(body.name ?? '');
    }
  }

  /** @param id as in a URL */
  async findById(id: string): Promise<ProjectEntity | null> {
    const projectId = parseProjectId(id);
    return projectId === null ? null : this.projects.findOneBy({ project_id: projectId });
  }

  findByName(name: string): Promise<ProjectEntity | null> {
    return this.projects.findOneBy({ name });
  }

  /** Finds the project of the first start, which may have been renamed. */
  findDefault(): Promise<ProjectEntity | null> {
    return this.projects.findOneBy({ is_default: true });
  }

  /** Returns the project of the first start. If there is none, it is the one named `default`, which is created if necessary. */
  async ensureDefault(actor: Actor): Promise<ProjectEntity> {
    const found = await this.findDefault();
    if (found !== null) return found;
    try {
      if ((await this.findByName(DEFAULT_NAME)) === null) await this.create({ name: DEFAULT_NAME }, actor);
    } catch (error) {
      // Another process created it in between.
      if (!(error instanceof Problem && error.slug === 'conflict')) throw error;
    }
    await this.projects.update({ name: DEFAULT_NAME }, { is_default: true });
    return this.ensureDefault(actor);
  }

  /** Whether the installation has a project, or had one that was deleted. */
  async hadProjects(): Promise<boolean> {
    return (await this.database.query(HAD_PROJECTS)).length > 0;
  }

  /** Keeps a project until the end of the transaction. Returns whether it exists. */
  async lockShared(projectId: number, tx: Queryable): Promise<boolean> {
    return (await tx.query(LOCK_SHARED, [projectId])).length > 0;
  }

  /**
   * Locks a project that is to be deleted.
   * @param id as in a URL
   * @throws Problem not-found
   */
  async lockForDelete(tx: Queryable, id: string): Promise<ProjectDto> {
    const projectId = parseProjectId(id);
    const [project] = projectId === null ? [] : await tx.query<ProjectRow>(LOCK_FOR_DELETE, [projectId]);
    if (project === undefined) throw projectNotFound();
    return this.toProjectDto(project);
  }

  /** Deletes the row of a locked project, whose keys, devices and usage were deleted before. */
  async deleteLocked(tx: Queryable, projectId: number): Promise<void> {
    await tx.query(DELETE, [projectId]);
  }

  async markSeeded(projectId: number): Promise<void> {
    await this.projects.update({ project_id: projectId }, { seeded_at: new Date() });
  }

  /** @param id as in a URL. @throws Problem not-found, for an admin also for every project but its own */
  async get(principal: Principal, id: string): Promise<ProjectDto> {
    const isAllowed = principal.role === 'operator' || principal.projectId === parseProjectId(id);
    const project = isAllowed ? await this.findById(id) : null;
    if (project === null) throw projectNotFound();
    return this.toProjectDto(project);
  }

  /** Lists all projects, newest first. */
  async list(page: PageRequest): Promise<{ slice: Slice<ProjectDto & { seq: string }>; count: Count }> {
    const select = PROJECT_COLUMNS.join(', ');
    const list: ListSql = { select, from: 'projects', where: 'TRUE', seq: 'seq', values: [] };
    const { countCap } = this.config.limits;
    const { slice, count } = await readPage<ProjectRow>(this.database, list, page, countCap);
    const items = slice.items.map((project) => ({ seq: project.seq, ...this.toProjectDto(project) }));
    return { slice: { ...slice, items }, count };
  }

  private toProjectDto(row: ProjectRow): ProjectDto {
    return {
      project_id: row.project_id,
      created_at: timeOfSeq(row.seq),
      ...contentOf(row),
      encryption_pending: this.encryption.isPending(row),
    };
  }
}

/** The members that differ, for the audit log. */
function changesOf(before: ProjectRow, after: ProjectRow): Record<string, { from: unknown; to: unknown }> {
  const [from, to] = [contentOf(before), contentOf(after)];
  const members = ['name', 'objects_max', 'bytes_max', 'retention_days', 'encrypted_keys'] as const;
  const names = members.filter((name) => JSON.stringify(from[name]) !== JSON.stringify(to[name]));
  return Object.fromEntries(names.map((name) => [name, { from: from[name], to: to[name] }]));
}

/** What a client can change. */
function contentOf(row: ProjectRow): Omit<ProjectDto, 'project_id' | 'created_at' | 'encryption_pending'> {
  const { name, objects_max, bytes_max, retention_days, encrypted_keys } = row;
  const limits = { objects_max: toNumber(objects_max), bytes_max: toNumber(bytes_max) };
  return { name, ...limits, retention_days, encrypted_keys };
}

/** Null for text that is not the id of any project. */
export function parseProjectId(text: string): number | null {
  const id = /^[1-9]\d{0,9}$/.test(text) ? Number(text) : Infinity;
  return id <= PROJECT_ID_MAX ? id : null;
}

function projectNotFound(): Problem {
  return new Problem('not-found', { detail: 'Project not found.' });
}

function nameExists(name: string): Problem {
  return new Problem('conflict', {
    detail: `The project name "${name}" exists already.`,
    errors: [{ pointer: '/name', detail: `"${name}" exists already` }],
  });
}

function toText(limit: number | null): string | null {
  return limit === null ? null : String(limit);
}
