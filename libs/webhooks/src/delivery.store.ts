import { Database, firstSeqAt, type Queryable } from '#database';
import { ProjectSlots } from '#platform';
import { Injectable } from '@nestjs/common';
import type { DeliverySlot, DeliverySlots } from './delivery-slots.js';

/** An attempt whose process has stopped is repeated after this time. */
const LEASE = `interval '60 seconds'`;
/** Projects that one look finds; any of them, so that those with many deliveries do not keep it from the others. */
const PROJECTS = 200;
/** Deliveries that were held for longer, because their webhook was not enabled, are not sent. */
const HELD_DAYS = 3;
const HELD_TOO_LONG = `not sent within ${String(HELD_DAYS)} days, because the webhook was not enabled`;
/** Deliveries of a disabled webhook wait for this time. */
const HELD = `'infinity'::timestamptz`;
/**
 * Statements of the queue at a time in one process, and of one project: many deliveries must not take the connections that requests
 * need. Projects get them by turns.
 */
const STATEMENTS = { total: 4, perProject: 1 };

/**
 * The projects with deliveries that are due. An event that happened while its webhook was being disabled is not: it is sent when the webhook
 * is enabled again. Unlike the other statements here it is of all projects.
 */
const LIST_DUE = {
  name: 'webhooks.list-due',
  text: `
    SELECT w.project_id FROM webhooks AS w
    WHERE w.project_id <> ALL ($1::int[]) AND EXISTS (
      SELECT FROM webhook_deliveries AS d JOIN webhooks AS o USING (project_id, webhook_id)
      WHERE d.project_id = w.project_id AND d.status = 'queued' AND d.due_at <= now()
        AND (o.is_enabled OR d.event = 'webhook.test'))
    GROUP BY w.project_id ORDER BY random() LIMIT ${String(PROJECTS)}`,
};

/**
 * Claims the delivery of a project that is due for the longest time, of another webhook than $2. A webhook that is not enabled gets only
 * its tests.
 */
const CLAIM = {
  name: 'webhooks.claim',
  text: `
    WITH due AS MATERIALIZED (
      SELECT d.webhook_id, d.delivery_id, w.url, w.secret
      FROM webhook_deliveries AS d JOIN webhooks AS w USING (project_id, webhook_id)
      WHERE d.project_id = $1 AND d.status = 'queued' AND d.due_at <= now() AND d.webhook_id <> ALL ($2::bigint[])
        AND (w.is_enabled OR d.event = 'webhook.test')
      ORDER BY d.due_at LIMIT 1 FOR UPDATE OF d SKIP LOCKED
    )
    UPDATE webhook_deliveries AS d SET attempts = d.attempts + 1, due_at = now() + ${LEASE}
    FROM due WHERE d.project_id = $1 AND d.webhook_id = due.webhook_id AND d.delivery_id = due.delivery_id
    RETURNING d.project_id, d.webhook_id, d.delivery_id, d.body, d.attempts, due.url, due.secret`,
};

/** When a delivery of a webhook is due: never while the webhook is not enabled, except for a test. */
const dueAtSql = (time: string): string =>
  `greatest(${time}, CASE WHEN w.is_enabled OR d.event = 'webhook.test' THEN '-infinity'::timestamptz ELSE ${HELD} END)`;

/**
 * Not where another process has claimed it again meanwhile. A repeated one, after the connection broke at its commit, finds its own result.
 * The webhook is locked first: who enables or disables it at the same time is waited for, and what it is then decides when the delivery is due.
 */
const FINISH = {
  name: 'webhooks.finish',
  text: `
    WITH w AS MATERIALIZED (
      SELECT is_enabled FROM webhooks WHERE project_id = $1 AND webhook_id = $2 FOR KEY SHARE
    )
    UPDATE webhook_deliveries AS d SET status = $5, response_status = $6, error = $7,
      due_at = ${dueAtSql(`now() + $8::int * interval '1 second'`)},
      finished_at = now() + CASE WHEN $5 = 'queued' THEN NULL ELSE interval '0' END
    FROM w
    WHERE d.project_id = $1 AND d.webhook_id = $2 AND d.delivery_id = $3 AND d.attempts = $4 AND d.status IN ('queued', $5)
    RETURNING d.delivery_id`,
};

const HOLD = `
  UPDATE webhook_deliveries SET due_at = ${HELD}
  WHERE project_id = $1 AND webhook_id = $2 AND status = 'queued' AND event <> 'webhook.test'`;

const FAIL_OLD = `
  UPDATE webhook_deliveries SET status = 'failed', error = '${HELD_TOO_LONG}', finished_at = now()
  WHERE project_id = $1 AND webhook_id = $2 AND status = 'queued' AND due_at = ${HELD} AND delivery_id < $3::bigint
  RETURNING delivery_id`;

const RESUME = `
  UPDATE webhook_deliveries SET due_at = now()
  WHERE project_id = $1 AND webhook_id = $2 AND status = 'queued' AND due_at = ${HELD}`;

/** Failed deliveries. The events are sent with the same ids, from a first attempt on. */
const retrySql = (which: string): string => `
  UPDATE webhook_deliveries AS d
  SET status = 'queued', attempts = 0, due_at = ${dueAtSql('now()')}, response_status = NULL, error = NULL, finished_at = NULL
  FROM webhooks AS w
  WHERE w.project_id = $1 AND w.webhook_id = $2
    AND d.project_id = $1 AND d.webhook_id = $2 AND d.delivery_id ${which} AND d.status = 'failed'
  RETURNING d.delivery_id`;

const RETRY = retrySql('= $3');

/** The oldest ones. */
const RETRY_SOME = retrySql(`IN (
      SELECT f.delivery_id FROM webhook_deliveries AS f
      WHERE f.project_id = $1 AND f.webhook_id = $2 AND f.status = 'failed' ORDER BY f.delivery_id LIMIT $3)`);

const HAS_FAILED = `
  SELECT FROM webhook_deliveries WHERE project_id = $1 AND webhook_id = $2 AND status = 'failed' LIMIT 1`;

const COUNT_QUEUED = `
  SELECT count(*)::int AS count FROM webhook_deliveries WHERE project_id = $1 AND webhook_id = $2 AND status = 'queued'`;

export interface ClaimedDelivery {
  project_id: number;
  webhook_id: string;
  delivery_id: string;
  body: string;
  /** This one included. */
  attempts: number;
  url: string;
  secret: string;
}

export interface AttemptResult {
  status: 'queued' | 'delivered' | 'failed';
  responseStatus: number | null;
  error: string | null;
  /** Until the next attempt of a delivery that stays queued. */
  retryInSeconds: number;
}

/** The queue of deliveries. */
@Injectable()
export class DeliveryStore {
  private readonly statements = new ProjectSlots(STATEMENTS);

  constructor(private readonly database: Database) {}

  /** Some projects with deliveries that are due, in any order. @param except projects that are left out */
  async listDue(except: readonly number[]): Promise<number[]> {
    const rows = await this.database.query<{ project_id: number }>(LIST_DUE, [except]);
    return rows.map(({ project_id: projectId }) => projectId);
  }

  /**
   * Begins with a delivery to a webhook that gets none from this process now. Claims of a project follow each other, so that two slots
   * never begin with one webhook.
   * @returns null where none is due
   */
  claim(slot: DeliverySlot, slots: DeliverySlots): Promise<ClaimedDelivery | null> {
    const { projectId } = slot;
    return this.statements.run(projectId, async () => {
      const values = [projectId, slots.busyWebhooks(projectId)];
      const [row] = await this.database.query<ClaimedDelivery>(CLAIM, values);
      if (row === undefined) return null;
      slots.begin(slot, row.webhook_id);
      return row;
    });
  }

  /** @returns false where another process has claimed it again meanwhile, or it was deleted */
  async finish(
    delivery: ClaimedDelivery,
    { status, responseStatus, error, retryInSeconds }: AttemptResult,
  ): Promise<boolean> {
    const { project_id: projectId, webhook_id: webhookId, delivery_id: id, attempts } = delivery;
    const values = [projectId, webhookId, id, attempts, status, responseStatus, error, retryInSeconds];
    const rows = await this.statements.run(projectId, () =>
      this.database.retrying(() => this.database.query(FINISH, values)),
    );
    return rows.length > 0;
  }

  /** Keeps what is queued for a webhook while it is not enabled. */
  async hold(tx: Queryable, projectId: number, webhookId: string): Promise<void> {
    await tx.query(HOLD, [projectId, webhookId]);
  }

  /** Sends what was held, but not what is too old to be of use. @returns the number of the latter */
  async resume(tx: Queryable, projectId: number, webhookId: string): Promise<number> {
    const failed = await tx.query(FAIL_OLD, [projectId, webhookId, firstSeqAt(Date.now() - HELD_DAYS * 86_400_000)]);
    await tx.query(RESUME, [projectId, webhookId]);
    return failed.length;
  }

  /** Queues a failed delivery again. @returns false where it does not exist or has not failed */
  async retry(tx: Queryable, projectId: number, webhookId: string, id: string): Promise<boolean> {
    return (await tx.query(RETRY, [projectId, webhookId, id])).length > 0;
  }

  /** Queues the oldest failed deliveries again. @returns their number */
  async retrySome(tx: Queryable, projectId: number, webhookId: string, count: number): Promise<number> {
    return (await tx.query(RETRY_SOME, [projectId, webhookId, count])).length;
  }

  async hasFailed(tx: Queryable, projectId: number, webhookId: string): Promise<boolean> {
    return (await tx.query(HAS_FAILED, [projectId, webhookId])).length > 0;
  }

  async countQueued(tx: Queryable, projectId: number, webhookId: string): Promise<number> {
    const [row] = await tx.query<{ count: number }>(COUNT_QUEUED, [projectId, webhookId]);
    return row?.count ?? 0;
  }
}
