import { describeError } from '#platform';
import { AggregateService, parseBucket } from '#analytics';
import { Database, QueryScope, QueryTimeoutError } from '#database';
import { EncryptedKeys } from '#encryption';
import { EventStore } from '#events';
import { encryptionError, type Filter } from '#filter';
import { Injectable, Logger } from '@nestjs/common';
import { bucketMinutes, type Comparison, type ThresholdDto } from './webhook.dto.js';

/** Webhooks that one look finds; any of them, so that no project keeps it from the others. */
const WEBHOOKS = 200;
/** A value that takes longer is not computed. */
const COMPUTE_MS = 10_000;
/** Time of a look, after which the values of projects that took long before are left for the next one. */
const LOOK_MS = 30_000;
const SLOW_MS = 1_000;

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

interface ThresholdWebhook {
  project_id: number;
  webhook_id: string;
  threshold: string;
}

/** Computes the thresholds of webhooks, and queues an event for each bucket that reaches one. */
@Injectable()
export class ThresholdWatch {
  private readonly log = new Logger('webhooks');
  /** Projects whose last value took long. They come last, so that they delay no other project. */
  private slow = new Set<number>();

  constructor(
    private readonly events: EventStore,
    private readonly aggregates: AggregateService,
    private readonly encryption: EncryptedKeys,
    private readonly database: Database,
  ) {}

  async look(stopping: AbortSignal): Promise<void> {
    const deadline = performance.now() + LOOK_MS;
    const found = await this.database.query<ThresholdWebhook>(WITH_THRESHOLD);
    const isSlow = ({ project_id: projectId }: ThresholdWebhook): boolean => this.slow.has(projectId);
    const ordered = [...found.filter((webhook) => !isSlow(webhook)), ...found.filter(isSlow)];
    this.slow = new Set(ordered.filter(isSlow).map(({ project_id: projectId }) => projectId));
    for (const webhook of ordered) {
      const { project_id: projectId, webhook_id: id, threshold } = webhook;
      if (stopping.aborted || (isSlow(webhook) && performance.now() > deadline)) return;
      const startedAtMs = performance.now();
      await this.check(projectId, id, JSON.parse(threshold) as ThresholdDto).catch((error: unknown) => {
        this.log.warn(`the threshold of webhook ${id} was not computed: ${describeError(error)}`);
      });
      if (performance.now() - startedAtMs > SLOW_MS) this.slow.add(projectId);
      else this.slow.delete(projectId);
    }
  }

  /** Of the current bucket and the one before: a value that must be low is known only at the end of its bucket. */
  private async check(projectId: number, id: string, threshold: ThresholdDto): Promise<void> {
    const { op, key = null, bucket, compare, subject } = threshold;
    // The list of encrypted keys and the webhook were changed at the same time; otherwise the later change is rejected.
    if (encryptionError(this.encryption.unsearchableKeysOf(projectId), { key, isLiteral: false }) !== null)
      throw new Error('the values of its key are encrypted');
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
    const rows = await this.withinTime((scope) =>
      this.aggregates.compute(
        projectId,
        filter,
        { op, key, by: { kind: 'time', bucket: parsed, timeZone: 'UTC' }, series: null },
        this.database.within(scope),
      ),
    );
    for (const start of starts) {
      const row = rows.find(({ by }) => Number(by) === start);
      const value = row?.value ?? (op === 'count' ? '0' : null);
      if (value === null || !isReached(Number(value), comparison, limit)) continue;
      const data = { ...threshold, bucket_start: timeOf(start), value: Number(value) };
      await this.database.transaction(async (tx) => {
        if ((await tx.query(FIRE, [projectId, id, start])).length === 0) return;
        await this.events.record(tx, projectId, { type: 'threshold.reached', data }, id);
      });
    }
  }

  private async withinTime<T>(work: (scope: QueryScope) => Promise<T>): Promise<T> {
    const scope = new QueryScope();
    const timer = setTimeout(() => {
      scope.cancel(new QueryTimeoutError(COMPUTE_MS));
    }, COMPUTE_MS);
    try {
      return await work(scope);
    } finally {
      clearTimeout(timer);
    }
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
