import { describeError } from '#platform';
import { ChangeStore } from '#changes';
import { Database } from '#database';
import { EventStore } from '#events';
import { Injectable, Logger } from '@nestjs/common';

/** Changes that one step looks at. */
const ROWS = 200;
/** Webhooks that one look finds; any of them, so that busy ones do not keep it from the others. */
const WEBHOOKS = 200;
/** Time for further steps of a look, by turns; what is left then waits for the next look, which also finds other webhooks. */
const FURTHER_STEPS_MS = 1_000;

/** The webhooks of projects with changes that they have not seen. */
const WITH_CHANGES = {
  name: 'webhooks.with-changes',
  text: `
    SELECT w.project_id, w.webhook_id, w.change_position FROM webhooks AS w
    WHERE w.is_enabled AND w.change_position IS NOT NULL AND (
      EXISTS (SELECT FROM pending_changes AS p WHERE p.project_id = w.project_id)
      OR w.change_position < (SELECT f.last_position FROM change_feeds AS f WHERE f.project_id = w.project_id))
    ORDER BY random() LIMIT ${String(WEBHOOKS)}`,
};

/** No row where another process was faster, or the webhook does not want batches any more. */
const MOVE = {
  name: 'webhooks.move-position',
  text: `
    UPDATE webhooks SET change_position = $4::bigint
    WHERE project_id = $1 AND webhook_id = $2 AND is_enabled AND change_position = $3::bigint RETURNING webhook_id`,
};

interface FollowingWebhook {
  project_id: number;
  webhook_id: string;
  change_position: string;
}

/** What was read of the changes for a webhook. */
interface BatchStep {
  position: string;
  hasQueued: boolean;
  /** Whether there are no more changes for now. */
  isLast: boolean;
}

/** Queues the batches that were stored for the webhooks that want them. */
@Injectable()
export class BatchWatch {
  private readonly log = new Logger('webhooks');

  constructor(
    private readonly changes: ChangeStore,
    private readonly events: EventStore,
    private readonly database: Database,
  ) {}

  /** @returns whether something was queued */
  async look(stopping: AbortSignal): Promise<boolean> {
    let webhooks = await this.database.query<FollowingWebhook>(WITH_CHANGES);
    let deadline = Infinity;
    let hasQueued = false;
    while (webhooks.length > 0) {
      const behind: FollowingWebhook[] = [];
      for (const webhook of webhooks) {
        if (stopping.aborted || performance.now() > deadline) return hasQueued;
        const step = await this.addBatches(webhook).catch((error: unknown) => {
          const reason = describeError(error);
          this.log.warn(`the batches of webhook ${webhook.webhook_id} were not read: ${reason}`);
          return null;
        });
        hasQueued ||= step?.hasQueued === true;
        if (step?.isLast === false) behind.push({ ...webhook, change_position: step.position });
      }
      webhooks = behind;
      if (deadline === Infinity) deadline = performance.now() + FURTHER_STEPS_MS;
    }
    return hasQueued;
  }

  /**
   * The position and the deliveries are committed together, so that each batch is sent once, apart from repeated attempts. The changes
   * are read before: a transaction that waited for a second connection would keep its own from those that hold the second one.
   * @returns null where nothing has changed
   */
  private async addBatches(webhook: FollowingWebhook): Promise<BatchStep | null> {
    const { project_id: projectId, webhook_id: id, change_position: position } = webhook;
    const head = await this.changes.head(projectId);
    if (head?.has_pending === true) await this.changes.collect(projectId);
    const rows = await this.changes.read(projectId, (BigInt(position) + 1n).toString(), ROWS);
    // What is not kept any more cannot be sent.
    const last = rows === null ? await this.changes.follow(projectId) : rows.at(-1)?.position;
    if (last === undefined) return null;
    const stored = (rows ?? [])
      .filter(({ is_batch: isBatch }) => isBatch)
      .map(({ batch_id, objects, changed_at }) => ({ batch_id, objects: Number(objects), stored_at: changed_at }));
    const hasMoved = await this.database.transaction(async (tx) => {
      if ((await tx.query(MOVE, [projectId, id, position, last])).length === 0) return false;
      await this.events.recordAll(tx, projectId, id, 'batch.stored', stored);
      return true;
    });
    if (hasMoved && rows === null)
      this.log.warn(`webhook ${id} may have missed batches: changes after those that it has seen are not kept`);
    return hasMoved ? { position: last, hasQueued: stored.length > 0, isLast: rows?.length !== ROWS } : null;
  }
}
