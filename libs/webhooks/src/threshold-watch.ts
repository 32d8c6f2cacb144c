import { describeError } from '#platform';
import { AggregateService, parseBucket } from '#analytics';
import { Database, QueryScope, QueryTimeoutError } from '#database';
import { EncryptedKeys } from '#encryption';
import { EventStore } from '#events';
import { encryptionError, type Filter } from '#filter';
import { Injectable, Logger } from '@nestjs/common';
import { SlowProjects } from './slow-projects.js';
import { bucketMinutes, type Comparison, type ThresholdDto } from './webhook.dto.js';

/** Webhooks that one look finds; any of them, so that no project keeps it from the others. */
const WEBHOOKS = 200;
/** A value that takes longer, with its wait for a slot, is not computed. */
const COMPUTE_MS = 10_000;
/** Time of a look: what is left then waits for the next one. Projects that took long before have the last third. */
const LOOK_MS = 30_000;
const FAST_MS = 20_000;

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

export interface ThresholdWebhook {
  project_id: number;
  webhook_id: string;
  threshold: string;
}

/** Computes the thresholds of webhooks, and queues an event for each bucket that reaches one. */
@Injectable()
export class ThresholdWatch {
  private readonly log = new Logger('webhooks');
  /** They come after the others, so that they delay no other project. */
  private readonly slow = new SlowProjects();

  constructor(
    private readonly events: EventStore,
    private readonly aggregates: AggregateService,
    private readonly encryption: EncryptedKeys,
    private readonly database: Database,
  ) {}

  async look(stopping: AbortSignal): Promise<void> {
    const startedAtMs = performance.now();
    const isOver = (afterMs: number): boolean => stopping.aborted || performance.now() - startedAtMs > afterMs;
    const later: ThresholdWebhook[] = [];
    let left = 0;
    for (const webhook of inTurns(await this.database.query<ThresholdWebhook>(WITH_THRESHOLD))) {
      if (this.slow.has(webhook.project_id)) later.push(webhook);
      else if (isOver(FAST_MS)) left++;
      else await this.measure(webhook);
    }
    for (const webhook of later) {
      if (isOver(LOOK_MS)) left++;
      else await this.measure(webhook);
    }
    if (left > 0 && !stopping.aborted)
      this.log.warn(
        `${String(left)} thresholds were not computed within ${String(LOOK_MS / 1_000)} seconds; they are left for the next time`,
      );
  }

  /** Notes how long it took. */
  private async measure({ project_id: projectId, webhook_id: id, threshold }: ThresholdWebhook): Promise<void> {
    const startedAtMs = performance.now();
    await this.check(projectId, id, JSON.parse(threshold) as ThresholdDto).catch((error: unknown) => {
      this.log.warn(`the threshold of webhook ${id} was not computed: ${describeError(error)}`);
    });
    this.slow.note(projectId, performance.now() - startedAtMs);
  }

  /** Of the current bucket and the one before: a value that must be low is known only at the end of its bucket. */
  private async check(projectId: number, id: string, threshold: ThresholdDto): Promise<void> {
    const { op, key = null, bucket, compare, subject } = threshold;
    // A version that did not lock the list has stored the webhook while the list was changed.
    if (encryptionError(this.encryption.unsearchableKeysOf(projectId), { key, isLiteral: true }) !== null)
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

  /** Work that still waits for a slot of its project then ends when it gets one, because its queries fail. */
  private async withinTime<T>(work: (scope: QueryScope) => Promise<T>): Promise<T> {
    const scope = new QueryScope();
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => {
        const error = new QueryTimeoutError(COMPUTE_MS);
        scope.cancel(error);
        reject(error);
      }, COMPUTE_MS);
    });
    try {
      return await Promise.race([work(scope), late]);
    } finally {
      clearTimeout(timer);
    }
  }
}

/** The first webhook of each project, then the second one of each, and so on. */
export function inTurns(webhooks: readonly ThresholdWebhook[]): ThresholdWebhook[] {
  const counts = new Map<number, number>();
  const placed = webhooks.map((webhook) => {
    const turn = counts.get(webhook.project_id) ?? 0;
    counts.set(webhook.project_id, turn + 1);
    return { webhook, turn };
  });
  return placed.sort((a, b) => a.turn - b.turn).map(({ webhook }) => webhook);
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
