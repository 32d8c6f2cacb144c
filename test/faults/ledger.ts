import { isDeepStrictEqual } from 'node:util';
import { setTimeout as sleep } from 'node:timers/promises';
import pLimit from 'p-limit';
import { Hangs, NoAnswer, type Reply } from './http.js';
import type { Stack } from './stack.js';
import { KINDS, writeOf, type Kind, type Write } from './writes.js';

/** A dead worker is noticed after 20 s, and a job that met a fault waits for up to a minute before its fifth attempt. */
const JOBS_END_WITHIN_MS = 120_000;
/** The claim of a dead server on an Idempotency-Key runs out after 15 s. */
const KEY_IS_FREE_WITHIN_MS = 30_000;

/** How many are looked at and sent again at once. */
const AT_ONCE = 8;

interface Entry {
  write: Write;
  /** null where there was none. */
  reply: Reply | null;
  wasWhole?: boolean;
}

interface Job {
  status: string;
  problem?: { status?: number; detail?: string };
}

/** What was counted, for whoever watches. */
export interface Tally {
  sent: number;
  stored: number;
  accepted: number;
  unavailable: number;
  unanswered: number;
  deadLetters: number;
}

/** What was sent, what was answered, and whether the one is true to the other. */
export class Ledger {
  readonly tally: Tally = { sent: 0, stored: 0, accepted: 0, unavailable: 0, unanswered: 0, deadLetters: 0 };
  /** Each in a sentence; there have to be none. */
  readonly faults: string[] = [];
  private entries: Entry[] = [];
  private readonly next: Record<Kind, number> = { batches: 0, streams: 0, objects: 0, keyed: 0, readings: 0 };

  constructor(private readonly stack: Stack) {}

  /**
   * Sends from all producers at once until the signal.
   * @param mayBreak a connection may break without an answer, because the server itself is killed
   */
  async produce(until: AbortSignal, mayBreak: boolean): Promise<void> {
    await Promise.all(
      KINDS.map(async (kind) => {
        while (!until.aborted) {
          const write = writeOf(kind, this.next[kind]++);
          const reply = await this.ask(write, mayBreak);
          this.entries.push({ write, reply });
          this.count(write, reply);
          if (reply === null || reply.status === 503) await sleep(50);
        }
      }),
    );
  }

  /** No batch is there in part, whoever it belongs to. */
  async checkWholeness(): Promise<void> {
    const orphans = await this.stack.sql<{ batch_id: string }>(
      `SELECT DISTINCT batch_id FROM objects AS o WHERE NOT EXISTS
         (SELECT FROM batches AS b WHERE b.project_id = o.project_id AND b.batch_id = o.batch_id)`,
    );
    for (const { batch_id } of orphans) this.faults.push(`objects of ${batch_id} are there, and no batch`);
    const wrong = await this.stack.sql<{ batch_id: string; object_count: string; found: string }>(
      `SELECT batch_id, object_count, found FROM batches,
         LATERAL (SELECT count(*) AS found FROM objects AS o
                  WHERE o.project_id = batches.project_id AND o.batch_id = batches.batch_id) AS c
       WHERE object_count <> found`,
    );
    for (const { batch_id, object_count, found } of wrong)
      this.faults.push(`${batch_id} says it has ${object_count} objects and has ${found}`);
  }

  /** Every answer holds, whatever got none is there whole or not at all, and all of it can be sent again; then forgets it. */
  async settle(): Promise<void> {
    await this.jobsEnd();
    await this.each((entry) => this.settleOne(entry));
    await this.jobsEnd();
    await this.each(async ({ write, wasWhole }) => {
      const found = wasWhole === true ? 'whole' : await this.look(write);
      if (found !== 'whole') this.faults.push(`${write.id} was sent again and is ${found}`);
    });
    await this.checkWholeness();
    this.entries = [];
  }

  private async each(work: (entry: Entry) => Promise<void>): Promise<void> {
    const limit = pLimit(AT_ONCE);
    await Promise.all(this.entries.map((entry) => limit(work, entry)));
  }

  private async settleOne(entry: Entry): Promise<void> {
    const { write, reply } = entry;
    const status = reply?.status ?? 0;
    const found = await this.look(write);
    entry.wasWhole = found === 'whole';
    if (found === 'in part') this.faults.push(`${write.id} was answered ${String(status)} and is there in part`);
    if ((status === 200 || status === 201) && found !== 'whole')
      this.faults.push(`${write.id} was answered ${String(status)} and is ${found}`);
    if (reply?.status === 202) await this.settleJob(write, reply, found);
    await this.sendAgain(write, reply, found);
  }

  private async settleJob(write: Write, reply: Reply, found: string): Promise<void> {
    const { status, problem } = await this.job(reply);
    if (status === 'succeeded' && found === 'whole') return;
    // Nobody else sent it, and nothing is wrong with it: only a dead letter is a reason.
    if (status === 'failed' && found === 'absent' && problem?.detail !== undefined && (problem.status ?? 0) >= 500)
      this.tally.deadLetters++;
    else
      this.faults.push(`the job of ${write.id} is ${status} (${problem?.detail ?? 'no problem'}), the data ${found}`);
  }

  private async sendAgain(write: Write, first: Reply | null, found: string): Promise<void> {
    const second = await this.untilKeyIsFree(write);
    const status = second?.status ?? 0;
    const wasAnswered = first !== null && first.status < 300;
    let isRight: boolean;
    if (write.again !== 'first answer')
      isRight = found === 'absent' ? status === 201 || status === 202 : write.again.includes(status);
    // Also where the answer was lost: with its key the write is done once, and never in its own way.
    else isRight = status < 300 && (!wasAnswered || (second?.status === first.status && second.text === first.text));
    if (!isRight)
      this.faults.push(
        `${write.id}, ${found}, was answered ${String(first?.status)} and, sent again, ${String(status)}: ${second?.text ?? ''}`,
      );
  }

  private async untilKeyIsFree(write: Write): Promise<Reply | null> {
    const end = Date.now() + KEY_IS_FREE_WITHIN_MS;
    for (;;) {
      const reply = await this.ask(write, false);
      const isHeld = reply?.status === 409 && reply.text.includes('#idempotency-in-progress');
      if (!isHeld || Date.now() > end) return reply;
      await sleep(250);
    }
  }

  private async jobsEnd(): Promise<void> {
    const end = Date.now() + JOBS_END_WITHIN_MS;
    for (;;) {
      const open = await this.stack.sql(`SELECT job_id FROM jobs WHERE status IN ('queued', 'running')`);
      if (open.length === 0) return;
      if (Date.now() > end) {
        this.faults.push(`${String(open.length)} jobs have not ended`);
        return;
      }
      await sleep(200);
    }
  }

  private async job(reply: Reply): Promise<Job> {
    // After the server's last start its address is another one.
    const path = new URL(reply.headers.location ?? '').pathname.replace('/api/v1', '');
    return JSON.parse((await this.stack.call(path)).text) as Job;
  }

  private async look(write: Write): Promise<'whole' | 'absent' | 'in part'> {
    const { status, text } = await this.stack.call(write.lookAt);
    const objects = status === 404 ? [] : write.found(text);
    if (objects.length === 0) return 'absent';
    return isDeepStrictEqual(objects, write.objects()) ? 'whole' : 'in part';
  }

  private async ask(write: Write, mayBreak: boolean): Promise<Reply | null> {
    try {
      return await this.stack.call(write.path, write.outgoing());
    } catch (error) {
      if (!(error instanceof NoAnswer || error instanceof Hangs)) throw error;
      if (error instanceof Hangs || !mayBreak) this.faults.push(`${write.id}: ${error.name}: ${error.message}`);
      return null;
    }
  }

  private count(write: Write, reply: Reply | null): void {
    this.tally.sent++;
    if (reply === null) this.tally.unanswered++;
    else if (reply.status === 202) this.tally.accepted++;
    else if (reply.status < 300) this.tally.stored++;
    else if (reply.status === 503 && Number(reply.headers['retry-after']) > 0) this.tally.unavailable++;
    else this.faults.push(`${write.id} was answered ${String(reply.status)}: ${reply.text}`);
  }
}
