import { isDeepStrictEqual } from 'node:util';
import { setTimeout as sleep } from 'node:timers/promises';
import pLimit from 'p-limit';
import { RequestTimeout, ConnectionBroken, type Reply } from './http.js';
import type { Stack } from './stack.js';
import { KINDS, writeOf, type Kind, type Write } from './writes.js';

/** A killed worker is detected after 20 s, and a failed job waits up to a minute before its fifth attempt. */
const JOBS_END_WITHIN_MS = 120_000;
/** The claim of a killed server on an Idempotency-Key expires after 15 s. */
const KEY_IS_FREE_WITHIN_MS = 30_000;

/** Number of writes verified concurrently. */
const CONCURRENCY = 8;

interface Entry {
  write: Write;
  /** null if the connection broke. */
  reply: Reply | null;
  wasComplete?: boolean;
}

interface Job {
  status: string;
  result?: object;
  problem?: { status?: number; detail?: string };
}

/** Counts for the output of a long run. */
export interface Tally {
  sent: number;
  stored: number;
  accepted: number;
  unavailable: number;
  withoutResponse: number;
  deadLetters: number;
}

/** Records each write and its response, and verifies the responses against the stored data. */
export class Ledger {
  readonly tally: Tally = { sent: 0, stored: 0, accepted: 0, unavailable: 0, withoutResponse: 0, deadLetters: 0 };
  /** One sentence per violated guarantee. */
  readonly faults: string[] = [];
  private entries: Entry[] = [];
  private readonly next: Record<Kind, number> = {
    batches: 0,
    streams: 0,
    objects: 0,
    keyed: 0,
    readings: 0,
    readingStreams: 0,
  };

  /** @param advancesClocks ends the delays of jobs, instead of waiting for them; see `Stack.advanceClocks` */
  constructor(
    private readonly stack: Pick<Stack, 'call' | 'sql' | 'findIndexDifferences' | 'advanceClocks'>,
    private readonly advancesClocks = false,
  ) {}

  /**
   * Sends writes from all producers concurrently until the signal.
   * @param mayBreak true if connections may break, because the server itself is killed
   */
  async produce(signal: AbortSignal, mayBreak: boolean): Promise<void> {
    await Promise.all(
      KINDS.map(async (kind) => {
        while (!signal.aborted) {
          const write = writeOf(kind, this.next[kind]++);
          const reply = await this.send(write, mayBreak);
          this.entries.push({ write, reply });
          this.count(write, reply);
          if (reply === null || isUnavailable(reply)) await sleep(50);
        }
      }),
    );
  }

  /**
   * Checks all batches of the database: each has as many objects as it counts, and no object is without a batch; and that the
   * usage and the index of every project are those of its objects.
   */
  async checkNoPartialBatches(): Promise<void> {
    const orphans = await this.stack.sql<{ batch_id: string }>(
      `SELECT DISTINCT batch_id FROM objects AS o WHERE NOT EXISTS
         (SELECT FROM batches AS b WHERE b.project_id = o.project_id AND b.batch_id = o.batch_id)`,
    );
    for (const { batch_id } of orphans) this.faults.push(`objects of ${batch_id} are stored without their batch`);
    const wrong = await this.stack.sql<{ batch_id: string; object_count: string; found: string }>(
      `SELECT batch_id, object_count, found FROM batches,
         LATERAL (SELECT count(*) AS found FROM objects AS o
                  WHERE o.project_id = batches.project_id AND o.batch_id = batches.batch_id) AS c
       WHERE object_count <> found`,
    );
    for (const { batch_id, object_count, found } of wrong)
      this.faults.push(`${batch_id} has object_count ${object_count} and ${found} objects`);
    const inexact = await this.stack.sql<{ project_id: number; line: string }>(
      `SELECT project_id, format('%s objects, %s bytes, but stores %s and %s', u.objects, u.bytes, o.objects, o.bytes) AS line
       FROM (SELECT project_id, sum(objects) AS objects, sum(bytes) AS bytes FROM project_usage GROUP BY project_id) AS u
       FULL JOIN (SELECT project_id, count(*) AS objects, sum(bytes) AS bytes FROM objects GROUP BY project_id) AS o
         USING (project_id)
       WHERE (coalesce(u.objects, 0), coalesce(u.bytes, 0)) IS DISTINCT FROM (coalesce(o.objects, 0), coalesce(o.bytes, 0))`,
    );
    for (const { project_id, line } of inexact)
      this.faults.push(`project ${String(project_id)} has a usage of ${line}`);
    this.faults.push(...(await this.stack.findIndexDifferences()));
  }

  /**
   * Verifies that acknowledged writes are stored completely, writes without a response completely or not at all, and that
   * each can be retried. Then forgets them.
   */
  async verify(): Promise<void> {
    await this.waitForJobs();
    await this.forEachEntry((entry) => this.verifyEntry(entry));
    await this.waitForJobs();
    await this.forEachEntry(async ({ write, wasComplete }) => {
      const found = wasComplete === true ? 'complete' : await this.findStored(write);
      if (found !== 'complete') this.faults.push(`${write.id} was retried and is ${found}`);
    });
    await this.checkNoPartialBatches();
    this.entries = [];
  }

  private async forEachEntry(work: (entry: Entry) => Promise<void>): Promise<void> {
    const limit = pLimit(CONCURRENCY);
    await Promise.all(this.entries.map((entry) => limit(work, entry)));
  }

  private async verifyEntry(entry: Entry): Promise<void> {
    const { write, reply } = entry;
    const status = reply?.status ?? 0;
    const found = await this.findStored(write);
    entry.wasComplete = found === 'complete';
    if (found === 'partial') this.faults.push(`${write.id} returned ${String(status)} and is partial`);
    if ((status === 200 || status === 201) && found !== 'complete')
      this.faults.push(`${write.id} returned ${String(status)} and is ${found}`);
    if (reply?.status === 202) await this.verifyJob(write, reply, found);
    await this.retry(write, reply, found);
  }

  private async verifyJob(write: Write, reply: Reply, found: string): Promise<void> {
    const { status, problem, result } = await this.getJob(reply);
    if (status === 'succeeded' && found === 'complete') {
      if (write.result !== undefined && !isDeepStrictEqual(result, write.result))
        this.faults.push(`the job of ${write.id} has the result ${JSON.stringify(result)}`);
      return;
    }
    // The write is valid and unique, so its job may fail only as a dead letter.
    if (status === 'failed' && found === 'absent' && problem?.detail !== undefined && (problem.status ?? 0) >= 500)
      this.tally.deadLetters++;
    else
      this.faults.push(
        `the job of ${write.id} is ${status} (${problem?.detail ?? 'no problem'}), the data is ${found}`,
      );
  }

  private async retry(write: Write, first: Reply | null, found: string): Promise<void> {
    const second = await this.sendUntilKeyIsFree(write);
    const status = second?.status ?? 0;
    const hasFirst = first !== null && first.status < 300;
    let isExpected: boolean;
    if (write.retry !== 'replay')
      isExpected = found === 'absent' ? status === 201 || status === 202 : write.retry.includes(status);
    // With an Idempotency-Key a retry never conflicts with the first request, even if the first response was lost.
    else isExpected = status < 300 && (!hasFirst || (second?.status === first.status && second.text === first.text));
    if (!isExpected)
      this.faults.push(
        `${write.id} (${found}) returned ${String(first?.status)}, and ${String(status)} to the retry: ${second?.text ?? ''}`,
      );
  }

  private async sendUntilKeyIsFree(write: Write): Promise<Reply | null> {
    const end = Date.now() + KEY_IS_FREE_WITHIN_MS;
    for (;;) {
      const reply = await this.send(write, false);
      const isHeld = reply?.status === 409 && reply.text.includes('#idempotency-in-progress');
      if (!isHeld || Date.now() > end) return reply;
      await sleep(250);
    }
  }

  private async waitForJobs(): Promise<void> {
    const end = Date.now() + JOBS_END_WITHIN_MS;
    for (let waits = 0; ; waits++) {
      // Repeatedly: a worker that was killed a moment ago is not silent yet, and each failed attempt has a delay of its own.
      if (this.advancesClocks && waits % 5 === 0) await this.stack.advanceClocks();
      const open = await this.stack.sql(`SELECT job_id FROM jobs WHERE status IN ('queued', 'running')`);
      if (open.length === 0) return;
      if (Date.now() > end) {
        this.faults.push(`${String(open.length)} jobs have not ended`);
        return;
      }
      await sleep(200);
    }
  }

  private async getJob(reply: Reply): Promise<Job> {
    // The port may have changed since the job was accepted.
    const path = new URL(reply.headers.location ?? '').pathname.replace('/api/v1', '');
    return JSON.parse((await this.stack.call(path)).text) as Job;
  }

  private async findStored(write: Write): Promise<'complete' | 'absent' | 'partial'> {
    const { status, text } = await this.stack.call(write.readPath);
    const objects = status === 404 ? [] : write.parseObjects(text);
    if (objects.length === 0) return 'absent';
    return isDeepStrictEqual(objects, write.objects()) ? 'complete' : 'partial';
  }

  private async send(write: Write, mayBreak: boolean): Promise<Reply | null> {
    try {
      return await this.stack.call(write.path, write.request());
    } catch (error) {
      if (!(error instanceof ConnectionBroken || error instanceof RequestTimeout)) throw error;
      if (error instanceof RequestTimeout || !mayBreak)
        this.faults.push(`${write.id}: ${error.name}: ${error.message}`);
      return null;
    }
  }

  private count(write: Write, reply: Reply | null): void {
    this.tally.sent++;
    if (reply === null) this.tally.withoutResponse++;
    else if (reply.status === 202) this.tally.accepted++;
    else if (reply.status < 300) this.tally.stored++;
    else if (isUnavailable(reply)) this.tally.unavailable++;
    else this.faults.push(`${write.id} returned ${String(reply.status)}: ${reply.text}`);
  }
}

/** The database is away or the disk is full, and the client may retry. */
function isUnavailable({ status, headers }: Reply): boolean {
  return (status === 503 || status === 507) && Number(headers['retry-after']) > 0;
}
