import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { LoggerService } from '@nestjs/common';
import type { Client } from 'pg';
import type { Database } from './database.js';
import { messageOf } from './database-options.js';
import { closeSocket, unrefSocket } from './database-pool.js';
import { recordConnectionError } from './sqlstates.js';

export interface NotificationTimes {
  /** Time between two checks whether notifications arrive. */
  checkEveryMs: number;
  /** How old the last successful check may be while `isCurrent` is true. */
  currentForMs: number;
  /** The pause before the first attempt to connect again; it doubles up to the maximum. */
  retryMinMs: number;
  retryMaxMs: number;
}

const NOTIFICATION_TIMES: NotificationTimes = {
  checkEveryMs: 2_000,
  currentForMs: 4_000,
  retryMinMs: 100,
  retryMaxMs: 30_000,
};

/** Checks without a notification before the connection is replaced: it may be open on this side only. */
const UNANSWERED_MAX = 5;
const END_TIMEOUT_MS = 500;

/**
 * Listens for the notifications of a channel on a connection of its own. A notification is lost while there is no connection,
 * and a connection can be dead without an error; a pooler may accept LISTEN and deliver nothing. So this process sends a
 * notification to itself every two seconds, through another connection. PostgreSQL delivers notifications in the order of
 * their commits: when a check arrives, everything that was notified before the check was sent has arrived too.
 */
export class NotificationListener {
  /** Only this process sends to it. */
  private readonly checkChannel = `stowage_check_${randomUUID().replaceAll('-', '')}`;
  private readonly stopping = new AbortController();
  private running: Promise<void> | undefined;
  private client: Client | undefined;
  private lastSession = 0;
  private openSession = 0;
  private checkedAtMs = -Infinity;
  private unanswered = 0;
  private hasWarned = false;

  constructor(
    private readonly database: Database,
    private readonly channel: string,
    private readonly receive: (payload: string) => void,
    private readonly logger: Pick<LoggerService, 'log' | 'warn'>,
    private readonly times: NotificationTimes = NOTIFICATION_TIMES,
  ) {}

  /** Connects in the background, and again after each loss of the connection, until `stop`. */
  start(): void {
    this.running ??= this.run();
  }

  /** Closes the connection. */
  async stop(): Promise<void> {
    this.stopping.abort();
    if (this.client !== undefined) await endWithin(END_TIMEOUT_MS, this.client);
    await this.running;
  }

  /** The number of the connection that listens now; 0 without one. Notifications between two numbers were lost. */
  get session(): number {
    return this.openSession;
  }

  /**
   * Whether this connection listens and has received every notification that was committed more than `currentForMs` ago.
   * @param nowMs the time of `performance.now`
   */
  isCurrent(session: number, nowMs: number): boolean {
    return session !== 0 && session === this.openSession && nowMs - this.checkedAtMs < this.times.currentForMs;
  }

  private async run(): Promise<void> {
    const { signal } = this.stopping;
    let retryMs = this.times.retryMinMs;
    while (!signal.aborted) {
      const hasReceived = await this.listen();
      retryMs = hasReceived ? this.times.retryMinMs : Math.min(this.times.retryMaxMs, retryMs * 2);
      await sleep(retryMs * (0.5 + Math.random()), undefined, { signal, ref: false }).catch(() => undefined);
    }
  }

  /** Listens on one connection until it ends. @returns whether a check arrived */
  private async listen(): Promise<boolean> {
    const client = this.database.createClient();
    this.client = client;
    this.checkedAtMs = -Infinity;
    this.unanswered = 0;
    const ended = new Promise<void>((resolve) => client.once('end', resolve));
    // The first one is the reason; the others follow from it.
    const errors: unknown[] = [];
    client.on('error', (error) => {
      recordConnectionError(error);
      errors.push(error);
    });
    client.on('notification', ({ channel, payload = '' }) => {
      if (channel === this.channel) this.receive(payload);
      else this.recordCheck(Number(payload));
    });
    let timer: NodeJS.Timeout | undefined;
    try {
      await client.connect();
      unrefSocket(client);
      if (this.stopping.signal.aborted) return false;
      await client.query(`LISTEN ${this.channel}; LISTEN ${this.checkChannel}`);
      this.openSession = ++this.lastSession;
      timer = setInterval(() => void this.check(client), this.times.checkEveryMs).unref();
      void this.check(client);
      await ended;
    } catch (error) {
      errors.push(error);
    } finally {
      clearInterval(timer);
      this.openSession = 0;
      closeSocket(client);
    }
    this.warn(messageOf(errors[0] ?? 'the connection has ended'));
    return this.checkedAtMs !== -Infinity;
  }

  private async check(client: Client): Promise<void> {
    if (this.unanswered >= UNANSWERED_MAX) {
      this.warn('no notification arrives; a connection pooler must work in session mode');
      closeSocket(client);
      return;
    }
    const values = [this.checkChannel, String(performance.now())];
    // Without the database this process has other problems, and the last check becomes too old.
    await this.database.reserved.query('SELECT pg_notify($1, $2)', values).then(
      () => this.unanswered++,
      () => undefined,
    );
  }

  private recordCheck(sentAtMs: number): void {
    this.checkedAtMs = sentAtMs;
    this.unanswered = 0;
    if (!this.hasWarned) return;
    this.hasWarned = false;
    this.logger.log(`notifications of ${this.channel} arrive again`);
  }

  /** Once until notifications arrive again. */
  private warn(reason: string): void {
    if (this.hasWarned || this.stopping.signal.aborted) return;
    this.hasWarned = true;
    this.logger.warn(`notifications of ${this.channel} do not arrive: ${reason}`);
  }
}

/** Ends a connection; closes it where the database does not respond in time. */
async function endWithin(ms: number, client: Client): Promise<void> {
  const timer = setTimeout(() => {
    closeSocket(client);
  }, ms);
  await client.end().catch(() => undefined);
  clearTimeout(timer);
}
