import { describeError } from '#platform';
import { AggregateService, parseBucket } from '#analytics';
import { Database, QueryScope, QueryTimeoutError } from '#database';
import { EncryptedKeys } from '#encryption';
import { EventStore } from '#events';
import { encryptionError, type Filter } from '#filter';
import { Injectable, Logger } from '@nestjs/common';
import { SlowProjects } from './slow-projects.js';
import { bucketMinutes, type Comparison, type ThresholdDto } from './webhook.dto.js';

/** Webhooks that one statement lists. */
const LISTED = 200;
/** A value that takes longer, with its wait for a slot, is not computed. */
const COMPUTE_MS = 10_000;
/** Time of a look; the next one goes on with what is left. Projects that took long before, if there are any, have the last third. */
const LOOK_MS = 30_000;
const FAST_MS = 20_000;

const WANTED = `w.is_enabled AND 'threshold.reached' = ANY (w.events)`;

/**
 * The first webhook of each project, then the second one of each, and so on, so that no project keeps a look from the others. $1 has
 * the projects that take long; they are listed alone, or left out.
 */
const LIST = {
  name: 'webhooks.list-thresholds',
  text: `
    SELECT project_id, webhook_id, threshold, turn FROM (
      SELECT w.project_id, w.webhook_id, w.threshold,
        row_number() OVER (PARTITION BY w.project_id ORDER BY w.webhook_id)::int AS turn
      FROM webhooks AS w WHERE ${WANTED} AND (w.project_id = ANY ($1::int[])) = $2::boolean
    ) AS placed
    WHERE (turn, project_id) > ($3::int, $4::int) AND (turn, project_id) <= ($5::int, $6::int)
    ORDER BY turn, project_id LIMIT ${String(LISTED)}`,
};

const COUNT = {
  name: 'webhooks.count-thresholds',
  text: `SELECT count(*)::int AS count FROM webhooks AS w WHERE ${WANTED}`,
};

/** No row where this bucket, or a later one, was reported, or the threshold that was computed is no longer the one of the webhook. */
const FIRE = {
  name: 'webhooks.fire',
  text: `
    UPDATE webhooks SET fired_bucket = $3
    WHERE project_id = $1 AND webhook_id = $2 AND is_enabled AND threshold = $4
      AND (fired_bucket IS NULL OR fired_bucket < $3) RETURNING name`,
};

/** Where a webhook is in the list. */
interface Place {
  turn: number;
  project_id: number;
}

const START: Place = { turn: 0, project_id: 0 };
const END: Place = { turn: 2 ** 31 - 1, project_id: 2 ** 31 - 1 };

interface ThresholdWebhook extends Place {
  webhook_id: string;
  threshold: string;
}

/** Computes the thresholds of webhooks, and queues an event for each bucket that reaches one. */
@Injectable()
export class ThresholdWatch {
  private readonly log = new Logger('webhooks');
  /** They come after the others, so that they delay no other project. */
  private readonly slow = new SlowProjects();
  /** The last webhooks that were computed, of the projects that take long and of the others. */
  private readonly places = { slow: START, fast: START };

  constructor(
    private readonly events: EventStore,
    private readonly aggregates: AggregateService,
    private readonly encryption: EncryptedKeys,
    private readonly database: Database,
  ) {}

  async look(stopping: AbortSignal): Promise<void> {
    const startedAtMs = performance.now();
    const isOver = (afterMs: number): boolean => stopping.aborted || performance.now() - startedAtMs > afterMs;
    const slow = [...this.slow];
    const later: ThresholdWebhook[] = [];
    let computed = 0;
    for await (const webhook of this.list(slow, 'fast')) {
      if (isOver(slow.length + later.length > 0 ? FAST_MS : LOOK_MS)) break;
      this.places.fast = webhook;
      if (this.slow.has(webhook.project_id)) {
        later.push(webhook);
      } else {
        await this.measure(webhook);
        computed++;
      }
    }
    for await (const webhook of this.list(slow, 'slow')) {
      if (isOver(LOOK_MS)) break;
      this.places.slow = webhook;
      await this.measure(webhook);
      computed++;
    }
    for (const webhook of later) {
      if (isOver(LOOK_MS)) break;
      await this.measure(webhook);
      computed++;
    }
    if (isOver(FAST_MS) && !stopping.aborted) await this.warnOfOthers(computed);
  }

  /** Each webhook of the projects that take long, or of the others, once; those after the last one that was computed come first. */
  private async *list(slow: readonly number[], kind: 'slow' | 'fast'): AsyncGenerator<ThresholdWebhook> {
    const place = this.places[kind];
    for (const [from, until] of [
      [place, END],
      [START, place],
    ] as const) {
      let after: Place | undefined = from;
      while (after !== undefined) {
        const values = [slow, kind === 'slow', after.turn, after.project_id, until.turn, until.project_id];
        const rows: ThresholdWebhook[] = await this.database.query<ThresholdWebhook>(LIST, values);
        yield* rows;
        after = rows.length === LISTED ? rows.at(-1) : undefined;
      }
    }
  }

  private async warnOfOthers(computed: number): Promise<void> {
    const [row] = await this.database.query<{ count: number }>(COUNT);
    const left = (row?.count ?? 0) - computed;
    if (left <= 0) return;
    this.log.warn(
      `${String(left)} thresholds were not computed within ${String(LOOK_MS / 1_000)} seconds; they are left for the next time`,
    );
  }

  /** Notes how long it took. */
  private async measure({ project_id: projectId, webhook_id: id, threshold }: ThresholdWebhook): Promise<void> {
    const startedAtMs = performance.now();
    await this.check(projectId, id, threshold).catch((error: unknown) => {
      this.log.warn(`the threshold of webhook ${id} was not computed: ${describeError(error)}`);
    });
    this.slow.note(projectId, performance.now() - startedAtMs);
  }

  /** Of the current bucket and the one before: a value that must be low is known only at the end of its bucket. */
  private async check(projectId: number, id: string, text: string): Promise<void> {
    const threshold = JSON.parse(text) as ThresholdDto;
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
        if ((await tx.query(FIRE, [projectId, id, start, text])).length === 0) return;
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
