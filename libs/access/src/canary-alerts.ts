import { AuditLog, type Actor } from '#audit';
import { Database } from '#database';
import type { EventStore } from '#events';
import { clientAddressOf, type Role } from '#http';
import { describeError, endsWithin } from '#platform';
import { Telemetry } from '#telemetry';
import { Injectable, Logger, type OnApplicationShutdown } from '@nestjs/common';
import type { FastifyRequest } from 'fastify';
import { AlertWebhook } from './alert-webhook.js';

/** Further uses of a key within this time are reported together at its end. */
const WINDOW_MS = 60_000;
/** Keys of one project whose uses are tracked; further ones are only logged, so that no project hides the alerts of another. */
const KEYS_PER_PROJECT = 100;
const KEYS_TOTAL = 10_000;
/** How long a stop waits for the audit log, because the server must stop within 10 s; each use is in the log of the server. */
const STOP_WITHIN_MS = 1_000;
const USER_AGENT_LENGTH_MAX = 255;

/** A canary key that a request was sent with. */
export interface CanaryKey {
  isCanary: true;
  keyId: string;
  keyName: string;
  role: Role;
  projectId: number;
}

/** Uses of one key that are not reported yet. */
interface CanaryUses {
  key: CanaryKey;
  count: number;
  firstAt: string;
  lastAt: string;
  /** Of the last use. */
  actor: Actor;
  method: string;
  route: string;
  userAgent: string | null;
}

/** The uses of a key since its last report, and the timer of the next one. */
interface Window {
  key: CanaryKey;
  uses: CanaryUses | null;
  timer: NodeJS.Timeout;
}

/**
 * Raises an alert when a canary key is used: a line in the log, an entry in the audit log of its project, an event for the webhooks
 * of the project, and a message to the webhook of the operator. The first use is reported at once, and all further ones of a minute
 * together. It works after the response, so that the sender learns nothing, neither from the response nor from its time.
 */
@Injectable()
export class CanaryAlerts implements OnApplicationShutdown {
  private readonly log = new Logger('alerts');
  private readonly windows = new Map<string, Window>();
  private readonly keysOfProject = new Map<number, number>();
  private readonly reporting = new Set<Promise<void>>();

  constructor(
    private readonly audit: AuditLog,
    private readonly events: EventStore,
    private readonly database: Database,
    /** null without ALERT_WEBHOOK_URL. */
    private readonly webhook: AlertWebhook | null,
    private readonly telemetry = Telemetry.off(),
  ) {}

  /** Reports the use of a canary key by a request. Call it after the response. */
  add(key: CanaryKey, request: FastifyRequest): void {
    this.telemetry.metrics?.canaryUses.inc();
    const window = this.windows.get(key.keyId);
    if (window !== undefined) {
      window.uses = addUse(window.uses, key, request);
      return;
    }
    const keys = this.keysOfProject.get(key.projectId) ?? 0;
    if (keys >= KEYS_PER_PROJECT || this.windows.size >= KEYS_TOTAL) {
      this.warn(addUse(null, key, request));
      return;
    }
    this.keysOfProject.set(key.projectId, keys + 1);
    this.report(addUse(null, key, request));
    this.open(key);
  }

  /** Reports the uses that wait for the end of their minute. Resolves when all reports are in the audit log. */
  async flush(): Promise<void> {
    for (const window of this.windows.values()) {
      clearTimeout(window.timer);
      this.end(window);
    }
    await Promise.all(this.reporting);
  }

  async onApplicationShutdown(): Promise<void> {
    await endsWithin(this.flush(), STOP_WITHIN_MS);
    for (const { timer } of this.windows.values()) clearTimeout(timer);
    await this.webhook?.stop();
  }

  private open(key: CanaryKey): void {
    const timer = setTimeout(() => {
      this.end(window);
    }, WINDOW_MS).unref();
    const window: Window = { key, uses: null, timer };
    this.windows.set(key.keyId, window);
  }

  /** Reports the uses of the minute, whose key then gets another minute; forgets a key without uses. */
  private end({ key, uses }: Window): void {
    if (uses !== null) {
      this.report(uses);
      this.open(key);
      return;
    }
    this.windows.delete(key.keyId);
    const keys = (this.keysOfProject.get(key.projectId) ?? 1) - 1;
    if (keys === 0) this.keysOfProject.delete(key.projectId);
    else this.keysOfProject.set(key.projectId, keys);
  }

  private report(uses: CanaryUses): void {
    this.warn(uses);
    this.webhook?.send('key.canary', { project_id: uses.key.projectId, ...alertOf(uses) });
    const reported = this.record(uses).finally(() => this.reporting.delete(reported));
    this.reporting.add(reported);
  }

  private async record(uses: CanaryUses): Promise<void> {
    const { key, actor } = uses;
    const details = detailsOf(uses);
    const target = { type: 'key', id: key.keyId } as const;
    const entry = { projectId: key.projectId, actor, action: 'key.canary' as const, target, details };
    try {
      await this.database.transaction(async (tx) => {
        await this.events.record(tx, key.projectId, { type: 'key.canary', data: alertOf(uses) });
        await this.audit.append(tx, entry);
      });
    } catch (error) {
      this.log.warn(`the use of canary key ${key.keyId} was not recorded: ${describeError(error)}`);
    }
  }

  private warn({ key, actor, method, route, count }: CanaryUses): void {
    const times = count === 1 ? '' : ` ${String(count)} times`;
    this.log.warn(
      `canary key ${key.keyId} of project ${String(key.projectId)} was used${times}: ${method} ${route} from ${String(actor.address)}`,
    );
  }
}

function addUse(earlier: CanaryUses | null, key: CanaryKey, request: FastifyRequest): CanaryUses {
  const now = new Date().toISOString();
  const { keyId, role, keyName: name } = key;
  return {
    key,
    count: (earlier?.count ?? 0) + 1,
    firstAt: earlier?.firstAt ?? now,
    lastAt: now,
    actor: { keyId, role, name, requestId: request.id, address: clientAddressOf(request) },
    method: request.method,
    // The pattern, not the path: ids are data.
    route: request.routeOptions.url ?? '',
    userAgent: request.headers['user-agent']?.slice(0, USER_AGENT_LENGTH_MAX) ?? null,
  };
}

/** The event that webhooks get. */
function alertOf(uses: CanaryUses): Readonly<Record<string, unknown>> {
  const { key, actor } = uses;
  return {
    key_id: key.keyId,
    key_name: key.keyName,
    role: key.role,
    address: actor.address,
    request_id: actor.requestId,
    ...detailsOf(uses),
  };
}

function detailsOf({
  method,
  route,
  userAgent,
  count,
  firstAt,
  lastAt,
}: CanaryUses): Readonly<Record<string, unknown>> {
  return { method, route, user_agent: userAgent, count, first_at: firstAt, last_at: lastAt };
}
