import { Database } from '#database';
import { Injectable } from '@nestjs/common';

/** An attempt whose process has stopped is repeated after this time. */
const LEASE = `interval '60 seconds'`;

/**
 * Claims the deliveries that are due: of each project at most $2, $1 in all. It steps from project to project in the index, so that
 * many deliveries of one project do not hide those of others. $3 are the projects that have no room now.
 */
const CLAIM = {
  name: 'webhooks.claim',
  text: `
    WITH RECURSIVE project AS (
      (SELECT project_id FROM webhook_deliveries WHERE status = 'queued' ORDER BY project_id LIMIT 1)
      UNION ALL
      SELECT next.project_id FROM project, LATERAL (
        SELECT d.project_id FROM webhook_deliveries AS d WHERE d.status = 'queued' AND d.project_id > project.project_id
        ORDER BY d.project_id LIMIT 1
      ) AS next
    ),
    due AS MATERIALIZED (
      SELECT d.* FROM project, LATERAL (
        SELECT project_id, webhook_id, delivery_id FROM webhook_deliveries AS d
        WHERE d.project_id = project.project_id AND d.status = 'queued' AND d.due_at <= now()
        ORDER BY d.due_at LIMIT $2
      ) AS d
      WHERE project.project_id <> ALL ($3::int[]) ORDER BY random() LIMIT $1
    ),
    locked AS MATERIALIZED (
      SELECT d.project_id, d.webhook_id, d.delivery_id FROM webhook_deliveries AS d JOIN due USING (project_id, webhook_id, delivery_id)
      WHERE d.status = 'queued' AND d.due_at <= now() FOR UPDATE OF d SKIP LOCKED
    )
    UPDATE webhook_deliveries AS d SET attempts = d.attempts + 1, due_at = now() + ${LEASE}
    FROM locked AS l JOIN webhooks AS w USING (project_id, webhook_id)
    WHERE d.project_id = l.project_id AND d.webhook_id = l.webhook_id AND d.delivery_id = l.delivery_id
    RETURNING d.project_id, d.webhook_id, d.delivery_id, d.event, d.body, d.attempts, w.url, w.secret`,
};

/** Not where another process has claimed it again meanwhile. */
const FINISH = {
  name: 'webhooks.finish',
  text: `
    UPDATE webhook_deliveries SET status = $5, response_status = $6, error = $7,
      due_at = now() + $8::int * interval '1 second', finished_at = now() + CASE WHEN $5 = 'queued' THEN NULL ELSE interval '0' END
    WHERE project_id = $1 AND webhook_id = $2 AND delivery_id = $3 AND attempts = $4 AND status = 'queued'`,
};

export interface ClaimedDelivery {
  project_id: number;
  webhook_id: string;
  delivery_id: string;
  event: string;
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
  constructor(private readonly database: Database) {}

  claim(limit: number, perProject: number, busyProjects: readonly number[]): Promise<ClaimedDelivery[]> {
    return this.database.query<ClaimedDelivery>(CLAIM, [limit, perProject, busyProjects]);
  }

  async finish(
    delivery: ClaimedDelivery,
    { status, responseStatus, error, retryInSeconds }: AttemptResult,
  ): Promise<void> {
    const { project_id: projectId, webhook_id: webhookId, delivery_id: id, attempts } = delivery;
    await this.database.retrying(() =>
      this.database.query(FINISH, [projectId, webhookId, id, attempts, status, responseStatus, error, retryInSeconds]),
    );
  }
}
