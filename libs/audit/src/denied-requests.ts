import { Database } from '#database';
import { Injectable, Logger, type OnApplicationShutdown } from '@nestjs/common';
import type { FastifyRequest } from 'fastify';
import { actorOf, type Actor } from './actor.js';
import { AuditLog, type NewAuditEntry } from './audit-log.js';

const FLUSH_EVERY_MS = 60_000;
/** Entries of one project in a minute; further requests of it share one more. */
const ENTRIES_PER_PROJECT = 100;
/** Entries of all projects in a minute; further requests share one entry in the chain of the installation. */
const ENTRIES_TOTAL = 1_000;

/** Requests with the same key, method and route. */
interface DeniedGroup extends NewAuditEntry {
  projectId: number | null;
  count: number;
  firstAt: string;
  lastAt: string;
}

/** The actor of an entry about requests of several keys. */
const SEVERAL_KEYS: Actor = { keyId: null, role: null, name: 'several keys', requestId: null, address: null };

/**
 * Records requests that were rejected because of the role of their key. They are counted in memory and written once a minute,
 * so that a client that repeats them neither waits for the database nor fills it. Those of the last minute are lost when the
 * process is killed.
 */
@Injectable()
export class DeniedRequests implements OnApplicationShutdown {
  private readonly log = new Logger('audit');
  private groups = new Map<string, DeniedGroup>();
  private groupsOfProject = new Map<number | null, number>();
  private timer: NodeJS.Timeout | undefined;
  private writing: Promise<void> = Promise.resolve();

  constructor(
    private readonly audit: AuditLog,
    private readonly database: Database,
  ) {}

  /** @param request an authenticated request */
  add(request: FastifyRequest): void {
    const { principal, method, routeOptions } = request;
    const { keyId, projectId } = principal ?? { keyId: '', projectId: null };
    const route = routeOptions.url ?? '';
    const now = new Date().toISOString();
    const group =
      this.groups.get(`${keyId} ${method} ${route}`) ??
      this.addGroup(`${keyId} ${method} ${route}`, projectId, actorOf(request), { method, route }, now);
    group.count++;
    group.lastAt = now;
  }

  /** Writes what was counted, after an earlier write has ended. Failures are logged. */
  flush(): Promise<void> {
    this.writing = this.writing.then(() => this.write());
    return this.writing;
  }

  onApplicationShutdown(): Promise<void> {
    return this.flush();
  }

  private async write(): Promise<void> {
    clearTimeout(this.timer);
    this.timer = undefined;
    const groups = [...this.groups.values()];
    this.groups = new Map();
    this.groupsOfProject = new Map();
    for (const projectId of new Set(groups.map((group) => group.projectId))) {
      const own = groups.filter((group) => group.projectId === projectId);
      const entries = own.map(({ details, count, firstAt, lastAt, ...entry }) => ({
        ...entry,
        details: { ...details, count, first_at: firstAt, last_at: lastAt },
      }));
      try {
        await this.database.transaction((tx) => this.audit.append(tx, ...entries));
      } catch (error) {
        const requests = own.reduce((sum, { count }) => sum + count, 0);
        this.log.warn(`${String(requests)} denied requests were not recorded: ${String(error)}`);
      }
    }
  }

  private addGroup(
    key: string,
    projectId: number | null,
    actor: Actor,
    details: Readonly<Record<string, unknown>>,
    now: string,
  ): DeniedGroup {
    this.timer ??= setTimeout(() => void this.flush(), FLUSH_EVERY_MS).unref();
    if (this.groups.size >= ENTRIES_TOTAL) return this.sharedGroup('', null, now);
    const ofProject = this.groupsOfProject.get(projectId) ?? 0;
    if (ofProject >= ENTRIES_PER_PROJECT) return this.sharedGroup(String(projectId), projectId, now);
    this.groupsOfProject.set(projectId, ofProject + 1);
    const group = { projectId, actor, action: 'access.denied' as const, details, count: 0, firstAt: now, lastAt: now };
    this.groups.set(key, group);
    return group;
  }

  private sharedGroup(key: string, projectId: number | null, now: string): DeniedGroup {
    const shared = { projectId, actor: SEVERAL_KEYS, action: 'access.denied' as const };
    const group = this.groups.get(key) ?? { ...shared, count: 0, firstAt: now, lastAt: now };
    this.groups.set(key, group);
    return group;
  }
}
