import { Sequence, type Queryable } from '#database';
import { Telemetry } from '#telemetry';
import { Injectable, Logger } from '@nestjs/common';
import { messageText } from './message.js';

/** What a webhook can be told of. */
export const EVENTS = ['batch.stored', 'job.failed', 'key.canary', 'threshold.reached'] as const;
export type EventName = (typeof EVENTS)[number];
/** Sent on request only. */
export const TEST_EVENT = 'webhook.test';

/** Deliveries that may wait for one webhook. Further events are not sent: a receiver that is away must not fill the disk. */
export const QUEUED_MAX = 1_000;
/** Tests have some more room: somebody sends one to find out why nothing arrives. */
const TEST_QUEUED_MAX = QUEUED_MAX + 100;
/** Events that were not queued are logged together. */
const LOG_EVERY_MS = 60_000;
const QUEUED_MAX_SQL = `CASE WHEN $3::text = '${TEST_EVENT}' THEN ${String(TEST_QUEUED_MAX)} ELSE ${String(QUEUED_MAX)} END`;

const WANTED = `
    w.project_id = $1::int AND ($4::bigint IS NULL OR w.webhook_id = $4::bigint)
      AND ($3::text = '${TEST_EVENT}' OR (w.is_enabled AND $3::text = ANY (w.events)))`;

/**
 * One row for each webhook of the project that wants the event; mostly none. Locked, so that the delivery of one that is deleted at the same
 * time is either deleted with it or not added; in the order in which the others that lock all of them do.
 */
const RECORD = {
  name: 'events.record',
  text: `
    INSERT INTO webhook_deliveries (project_id, webhook_id, delivery_id, event, body, status, attempts, due_at)
    SELECT w.project_id, w.webhook_id, $2::bigint, $3::text, $5::text, 'queued', 0, now()
    FROM webhooks AS w
    WHERE ${WANTED}
      AND (SELECT count(*) FROM (
        SELECT FROM webhook_deliveries AS d
        WHERE d.project_id = $1::int AND d.webhook_id = w.webhook_id AND d.status = 'queued' LIMIT ${String(TEST_QUEUED_MAX)}
      ) AS queued) < ${QUEUED_MAX_SQL}
    ORDER BY w.webhook_id FOR KEY SHARE OF w`,
};

/** The webhooks for which the event of a delivery was not queued. */
const COUNT_DROPPED = {
  name: 'events.count-dropped',
  text: `
    SELECT count(*)::int AS dropped FROM webhooks AS w
    WHERE ${WANTED}
      AND NOT EXISTS (
        SELECT FROM webhook_deliveries AS d
        WHERE d.project_id = $1::int AND d.webhook_id = w.webhook_id AND d.delivery_id = $2::bigint)`,
};

/** As many of several events for one webhook as may wait. The transaction has changed the webhook before. */
const RECORD_ALL = {
  name: 'events.record-all',
  text: `
    INSERT INTO webhook_deliveries (project_id, webhook_id, delivery_id, event, body, status, attempts, due_at)
    SELECT w.project_id, w.webhook_id, e.id, $3::text, e.body, 'queued', 0, now()
    FROM webhooks AS w, unnest($4::bigint[], $5::text[]) WITH ORDINALITY AS e (id, body, ordinal)
    WHERE w.project_id = $1::int AND w.webhook_id = $2::bigint AND w.is_enabled AND $3::text = ANY (w.events)
      AND e.ordinal <= ${String(QUEUED_MAX)} - (
        SELECT count(*) FROM webhook_deliveries AS d
        WHERE d.project_id = $1::int AND d.webhook_id = $2::bigint AND d.status = 'queued')
    RETURNING delivery_id`,
};

/** An event as webhooks get it. */
export interface ProjectEvent {
  type: EventName | typeof TEST_EVENT;
  data: Readonly<Record<string, unknown>>;
}

/** Queues events for webhooks. */
@Injectable()
export class EventStore {
  private readonly log = new Logger('webhooks');
  /** Events that were not queued since the last line in the log about them. */
  private dropped = 0;
  private loggedAtMs = -Infinity;

  constructor(
    private readonly sequence: Sequence,
    private readonly telemetry: Telemetry,
  ) {}

  /**
   * Queues an event for the webhooks of a project that want it.
   * @param on the transaction in which it happens
   * @param webhookId only for this webhook
   * @returns the number of the delivery, also where no webhook wants the event; null where a webhook has no room for it
   */
  async record(on: Queryable, projectId: number, event: ProjectEvent, webhookId?: string): Promise<string | null> {
    const id = this.sequence.next().toString();
    const values = [projectId, id, event.type, webhookId ?? null];
    await on.query(RECORD, [...values, messageOf(projectId, event)]);
    const [row] = await on.query<{ dropped: number }>(COUNT_DROPPED, values);
    const dropped = row?.dropped ?? 0;
    this.noteDropped(projectId, dropped);
    return dropped > 0 ? null : id;
  }

  /** Queues events of one type for one webhook, which wants them. */
  async recordAll(
    on: Queryable,
    projectId: number,
    webhookId: string,
    type: EventName,
    all: readonly ProjectEvent['data'][],
  ): Promise<void> {
    if (all.length === 0) return;
    const ids = all.map(() => this.sequence.next().toString());
    const messages = all.map((data) => messageOf(projectId, { type, data }));
    const queued = await on.query(RECORD_ALL, [projectId, webhookId, type, ids, messages]);
    this.noteDropped(projectId, all.length - queued.length);
  }

  /** Also where the transaction fails later: the number is a warning, not an account. */
  private noteDropped(projectId: number, count: number): void {
    if (count === 0) return;
    this.telemetry.metrics?.webhookEventsDropped.inc(count);
    this.dropped += count;
    if (performance.now() - this.loggedAtMs < LOG_EVERY_MS) return;
    this.log.warn(
      `${String(this.dropped)} events were not queued, because too many wait for their webhooks; the last one is of project ${String(projectId)}`,
    );
    this.dropped = 0;
    this.loggedAtMs = performance.now();
  }
}

function messageOf(projectId: number, { type, data }: ProjectEvent): string {
  return messageText(type, { project_id: projectId, ...data });
}
