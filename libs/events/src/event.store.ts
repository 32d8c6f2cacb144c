import { Sequence, type Queryable } from '#database';
import { Injectable } from '@nestjs/common';
import { messageText } from './message.js';

/** What a webhook can be told of. */
export const EVENTS = ['batch.stored', 'job.failed', 'key.canary', 'threshold.reached'] as const;
export type EventName = (typeof EVENTS)[number];
/** Sent on request only. */
export const TEST_EVENT = 'webhook.test';

/** Deliveries that may wait for one webhook. Further events are not sent: a receiver that is away must not fill the disk. */
export const QUEUED_MAX = 1_000;

/** One row for each webhook of the project that wants the event; mostly none. */
const RECORD = {
  name: 'events.record',
  text: `
    INSERT INTO webhook_deliveries (project_id, webhook_id, delivery_id, event, body, status, attempts, due_at)
    SELECT w.project_id, w.webhook_id, $2::bigint, $3::text, $4::text, 'queued', 0, now()
    FROM webhooks AS w
    WHERE w.project_id = $1::int AND ($5::bigint IS NULL OR w.webhook_id = $5::bigint)
      AND ($3::text = '${TEST_EVENT}' OR (w.is_enabled AND $3::text = ANY (w.events)))
      AND (SELECT count(*) FROM (
        SELECT FROM webhook_deliveries AS d
        WHERE d.project_id = $1::int AND d.webhook_id = w.webhook_id AND d.status = 'queued' LIMIT ${String(QUEUED_MAX)}
      ) AS queued) < ${String(QUEUED_MAX)}`,
};

/** As many of several events for one webhook as may wait. */
const RECORD_ALL = {
  name: 'events.record-all',
  text: `
    INSERT INTO webhook_deliveries (project_id, webhook_id, delivery_id, event, body, status, attempts, due_at)
    SELECT w.project_id, w.webhook_id, e.id, $3::text, e.body, 'queued', 0, now()
    FROM webhooks AS w, unnest($4::bigint[], $5::text[]) WITH ORDINALITY AS e (id, body, ordinal)
    WHERE w.project_id = $1::int AND w.webhook_id = $2::bigint AND w.is_enabled AND $3::text = ANY (w.events)
      AND e.ordinal <= ${String(QUEUED_MAX)} - (
        SELECT count(*) FROM webhook_deliveries AS d
        WHERE d.project_id = $1::int AND d.webhook_id = $2::bigint AND d.status = 'queued')`,
};

/** An event as webhooks get it. */
export interface ProjectEvent {
  type: EventName | typeof TEST_EVENT;
  data: Readonly<Record<string, unknown>>;
}

/** Queues events for webhooks. */
@Injectable()
export class EventStore {
  constructor(private readonly sequence: Sequence) {}

  /**
   * Queues an event for the webhooks of a project that want it.
   * @param on the transaction in which it happens
   * @param webhookId only for this webhook
   * @returns the number of the delivery, also where no webhook wants the event
   */
  async record(on: Queryable, projectId: number, event: ProjectEvent, webhookId?: string): Promise<string> {
    const id = this.sequence.next().toString();
    await on.query(RECORD, [projectId, id, event.type, messageOf(projectId, event), webhookId ?? null]);
    return id;
  }

  /** Queues events of one type for one webhook, if it wants them. */
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
    await on.query(RECORD_ALL, [projectId, webhookId, type, ids, messages]);
  }
}

function messageOf(projectId: number, { type, data }: ProjectEvent): string {
  return messageText(type, { project_id: projectId, ...data });
}
