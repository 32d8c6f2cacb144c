import { Database, isConnectionLoss, isPoolExhausted, isUnresponsive, OutcomeUnknownError } from '#database';
import { describeError, endsWithin } from '#platform';
import { Injectable, Logger, type OnApplicationShutdown } from '@nestjs/common';
import type { FastifyRequest } from 'fastify';
import { actorOf, type Actor } from './actor.js';
import { AuditLog, type NewAuditEntry } from './audit-log.js';

const FLUSH_EVERY_MS = 60_000;
/** How long a stop waits for the entries, because the server must stop within 10 s; entries that are not written are lost. */
const STOP_WITHIN_MS = 1_000;
/** Entries of one project in a minute; further requests of it share one more. */
const ENTRIES_PER_PROJECT = 100;
/** Entries of all projects in a minute; a request that finds no room is counted in the shared entry of its project. */
const ENTRIES_TOTAL = 1_000;
/** Shared entries in a minute; the requests of further projects share one in the chain of the installation. */
const SHARED_ENTRIES_TOTAL = 1_000;

/** Requests with the same key, method and route; or those of a project, or of several, that found no room. */
interface DeniedGroup extends NewAuditEntry {
  projectId: number | null;
  /** null for a shared group. */
  name: string | null;
  count: number;
  firstAt: string;
  lastAt: string;
}

/** The actor of an entry about requests of several keys. */
const SEVERAL_KEYS: Actor = { keyId: null, role: null, name: 'several keys', requestId: null, address: null };

/**
 * Records requests that got 403 although their key is valid. They are counted in memory and written once a minute, so that a client
 * that repeats them neither waits for the database nor fills it. Those that cannot be written are written a minute later,
 * together with the new ones. Those of the last minute are lost when the process is killed.
 */
@Injectable()
export class DeniedRequests implements OnApplicationShutdown {
  private readonly log = new Logger('audit');
  private groups = new Map<string, DeniedGroup>();
  private groupsOfProject = new Map<number | null, number>();
  private sharedGroups = new Map<number | null, DeniedGroup>();
  private timer: NodeJS.Timeout | undefined;
  private writing: Promise<void> = Promise.resolve();
  private hasStopped = false;

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
    const name = `${keyId} ${method} ${route}`;
    const [actor, details] = [actorOf(request), { method, route }];
    this.count({ name, projectId, actor, action: 'access.denied', details, count: 1, firstAt: now, lastAt: now });
  }

  /** Writes what was counted, after an earlier write has ended. Failures are logged. */
  flush(): Promise<void> {
    this.writing = this.writing.then(() => this.write());
    return this.writing;
  }

  /** Writes what was counted, as far as that is possible within a second. */
  async onApplicationShutdown(): Promise<void> {
    const hasEnded = await endsWithin(this.flush(), STOP_WITHIN_MS);
    this.hasStopped = true;
    clearTimeout(this.timer);
    if (!hasEnded) this.log.warn('the server stops before all denied requests are recorded');
  }

  private async write(): Promise<void> {
    clearTimeout(this.timer);
    this.timer = undefined;
    const groups = [...this.groups.values(), ...this.sharedGroups.values()];
    this.groups = new Map();
    this.groupsOfProject = new Map();
    this.sharedGroups = new Map();
    const unwritten: DeniedGroup[] = [];
    let failure: unknown;
    for (const projectId of new Set(groups.map((group) => group.projectId))) {
      const own = groups.filter((group) => group.projectId === projectId);
      // Without a database each of many projects would wait for a connection that does not come.
      if (this.hasStopped || isAway(failure)) {
        unwritten.push(...own);
        continue;
      }
      try {
        await this.database.transactionOnce((tx) => this.audit.append(tx, ...own.map(entryOf)));
      } catch (error) {
        failure = error;
        // They may be committed; written again they would be counted twice.
        if (error instanceof OutcomeUnknownError) this.warn(own, 'may not be recorded', error);
        else unwritten.push(...own);
      }
    }
    if (unwritten.length === 0) return;
    this.warn(unwritten, 'are not recorded yet', failure);
    for (const group of unwritten) this.count(group);
  }

  private warn(groups: readonly DeniedGroup[], state: string, error: unknown): void {
    const requests = groups.reduce((sum, { count }) => sum + count, 0);
    this.log.warn(`${String(requests)} denied requests ${state}: ${describeError(error)}`);
  }

  private count(requests: DeniedGroup): void {
    if (!this.hasStopped) this.timer ??= setTimeout(() => void this.flush(), FLUSH_EVERY_MS).unref();
    const { name, projectId } = requests;
    if (name === null) {
      this.countShared(requests);
      return;
    }
    if (!this.groups.has(name)) {
      const ofProject = this.groupsOfProject.get(projectId) ?? 0;
      if (this.groups.size >= ENTRIES_TOTAL || ofProject >= ENTRIES_PER_PROJECT) {
        this.countShared(requests);
        return;
      }
      this.groupsOfProject.set(projectId, ofProject + 1);
    }
    addTo(this.groups, name, requests);
  }

  private countShared({ projectId: ownId, action, count, firstAt, lastAt }: DeniedGroup): void {
    const hasRoom = this.sharedGroups.has(ownId) || this.sharedGroups.size < SHARED_ENTRIES_TOTAL;
    const projectId = hasRoom ? ownId : null;
    const shared = { name: null, projectId, actor: SEVERAL_KEYS, action, count, firstAt, lastAt };
    addTo(this.sharedGroups, projectId, shared);
  }
}

function addTo<K>(groups: Map<K, DeniedGroup>, key: K, requests: DeniedGroup): void {
  const group = groups.get(key);
  if (group === undefined) {
    groups.set(key, requests);
    return;
  }
  group.count += requests.count;
  // Requests that could not be written are older than those of the group.
  if (requests.firstAt < group.firstAt) group.firstAt = requests.firstAt;
  if (requests.lastAt > group.lastAt) group.lastAt = requests.lastAt;
}

function entryOf({ projectId, actor, action, details, count, firstAt, lastAt }: DeniedGroup): NewAuditEntry {
  return { projectId, actor, action, details: { ...details, count, first_at: firstAt, last_at: lastAt } };
}

/** Whether no other transaction would succeed now either. */
function isAway(error: unknown): boolean {
  return (
    error instanceof OutcomeUnknownError || isConnectionLoss(error) || isPoolExhausted(error) || isUnresponsive(error)
  );
}
