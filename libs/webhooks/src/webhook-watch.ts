import { AggregateService, parseBucket } from '#analytics';
import { ChangeStore } from '#changes';
import { Database, errorCode, type Queryable } from '#database';
import { EventStore } from '#events';
import type { Filter } from '#filter';
import { Injectable, Logger } from '@nestjs/common';
import { bucketMinutes, type Comparison, type ThresholdDto } from './webhook.dto.js';

/** Changes that one step looks at. */
const ROWS = 200;
/** Webhooks that one step looks at; any of them, so that busy ones do not keep it from the others. */
const WEBHOOKS = 200;
const THRESHOLDS_EVERY_MS = 30_000;

/** The webhooks of projects with changes that they have not seen. */
const WITH_CHANGES = {
  name: 'webhooks.with-changes',
  text: `
    SELECT w.project_id, w.webhook_id FROM webhooks AS w
    WHERE w.is_enabled AND w.change_position IS NOT NULL AND (
      EXISTS (SELECT FROM pending_changes AS p WHERE p.project_id = w.project_id)
      OR w.change_position < (SELECT f.last_position FROM change_feeds AS f WHERE f.project_id = w.project_id))
    ORDER BY random() LIMIT ${String(WEBHOOKS)}`,
};

/** One that another process looks at is skipped. */
const LOCK = {
  name: 'webhooks.lock-position',
  text: `
    SELECT change_position FROM webhooks
    WHERE project_id = $1 AND webhook_id = $2 AND is_enabled AND change_position IS NOT NULL FOR UPDATE SKIP LOCKED`,
};

const MOVE = {
  name: 'webhooks.move-position',
  text: `UPDATE webhooks SET change_position = $3 WHERE project_id = $1 AND webhook_id = $2`,
};

const WITH_THRESHOLD = {
  name: 'webhooks.with-threshold',
  text: `
    SELECT project_id, webhook_id, threshold FROM webhooks
    WHERE is_enabled AND 'threshold.reached' = ANY (events) ORDER BY random() LIMIT ${String(WEBHOOKS)}`,
};

/** No row where this bucket, or a later one, was reported. */
const FIRE = {
  name: 'webhooks.fire',
  text: `
    UPDATE webhooks SET fired_bucket = $3
    WHERE project_id = $1 AND webhook_id = $2 AND is_enabled AND (fired_bucket IS NULL OR fired_bucket < $3) RETURNING name`,
};

interface WatchingWebhook {
  project_id: number;
  webhook_id: string;
}

/** Looks for what webhooks want to be told of: stored batches, and thresholds that are reached. */
@Injectable()
export class WebhookWatch {
  private readonly log = new Logger('webhooks');
  private lookedAtMs = -Infinity;

  constructor(
    private readonly changes: ChangeStore,
    private readonly events: EventStore,
    private readonly aggregates: AggregateService,
    private readonly database: Database,
  ) {}

  async look(): Promise<void> {
    for (const webhook of await this.database.query<WatchingWebhook>(WITH_CHANGES)) {
      await this.addBatches(webhook).catch((error: unknown) => {
        this.log.warn(
          `the batches of webhook ${webhook.webhook_id} were not read: ${errorCode(error) ?? String(error)}`,
        );
      });
    }
    if (performance.now() - this.lookedAtMs < THRESHOLDS_EVERY_MS) return;
    this.lookedAtMs = performance.now();
    for (const webhook of await this.database.query<WatchingWebhook & { threshold: string }>(WITH_THRESHOLD)) {
      await this.checkThreshold(webhook, JSON.parse(webhook.threshold) as ThresholdDto).catch((error: unknown) => {
        this.log.warn(`the threshold of webhook ${webhook.webhook_id} was not computed: ${String(error)}`);
      });
    }
  }

  /** The position and the deliveries are committed together, so that each batch is sent once, apart from repeated attempts. */
  private async addBatches({ project_id: projectId, webhook_id: id }: WatchingWebhook): Promise<void> {
    const head = await this.changes.head(projectId);
    if (head?.is_old === true) await this.changes.touch(projectId);
    if (head?.has_pending === true) await this.changes.collect(projectId);
    await this.database.transaction(async (tx) => {
      const [locked] = await tx.query<{ change_position: string }>(LOCK, [projectId, id]);
      if (locked === undefined) return;
      const from = (BigInt(locked.change_position) + 1n).toString();
      const rows = await this.changes.read(projectId, from, ROWS);
      // What is not kept any more cannot be sent.
      const last = rows === null ? await this.changes.follow(projectId) : rows.at(-1)?.position;
      for (const { is_batch: isBatch, batch_id, objects, changed_at } of rows ?? []) {
        if (!isBatch) continue;
        const data = { batch_id, objects: Number(objects), stored_at: changed_at };
        await this.events.record(tx, projectId, { type: 'batch.stored', data }, id);
      }
      if (last !== undefined) await tx.query(MOVE, [projectId, id, last]);
    });
  }

  /** Of the current bucket and the one before: a value that must be low is known only at the end of its bucket. */
  private async checkThreshold(
    { project_id: projectId, webhook_id: id }: WatchingWebhook,
    threshold: ThresholdDto,
  ): Promise<void> {
    const { op, key = null, bucket, compare, subject } = threshold;
    const minutes = bucketMinutes(bucket);
    const parsed = parseBucket(bucket);
    const [[comparison, limit] = []] = Object.entries(compare) as [Comparison, number][];
    if (minutes === null || parsed === null || comparison === undefined || limit === undefined) return;
    const lengthSeconds = minutes * 60;
    const current = Math.floor(Date.now() / 1_000 / lengthSeconds) * lengthSeconds;
    const isWhole = comparison.startsWith('$l');
    const starts = isWhole ? [current - lengthSeconds] : [current - lengthSeconds, current];
    const timeOf = (seconds: number): string => new Date(seconds * 1_000).toISOString();
    const observed: Filter = {
      kind: 'observed',
      from: timeOf(current - lengthSeconds),
      until: timeOf(current + lengthSeconds),
    };
    const filter: Filter =
      subject === undefined ? observed : { kind: 'and', of: [{ kind: 'subject', subject }, observed] };
    const rows = await this.aggregates.compute(projectId, filter, {
      op,
      key,
      by: { kind: 'time', bucket: parsed, timeZone: 'UTC' },
      series: null,
    });
    for (const start of starts) {
      const row = rows.find(({ by }) => Number(by) === start);
      const value = row?.value ?? (op === 'count' ? '0' : null);
      if (value === null || !isReached(Number(value), comparison, limit)) continue;
      await this.database.transaction((tx) =>
        this.fire(tx, projectId, id, { start, value: Number(value), threshold, at: timeOf(start) }),
      );
    }
  }

  private async fire(
    tx: Queryable,
    projectId: number,
    id: string,
    { start, value, threshold, at }: { start: number; value: number; threshold: ThresholdDto; at: string },
  ): Promise<void> {
    const [fired] = await tx.query(FIRE, [projectId, id, start]);
    if (fired === undefined) return;
    await this.events.record(
      tx,
      projectId,
      { type: 'threshold.reached', data: { ...threshold, bucket_start: at, value } },
      id,
    );
  }
}

function isReached(value: number, comparison: Comparison, limit: number): boolean {
  switch (comparison) {
    case '$gt':
      return value > limit;
    case '$gte':
      return value >= limit;
    case '$lt':
      return value < limit;
    case '$lte':
      return value <= limit;
  }
}
