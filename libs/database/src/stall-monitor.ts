import { setTimeout as sleep } from 'node:timers/promises';

/** The database accepts no statements, because it did not respond to several in a row. */
export class DatabaseStalledError extends Error {
  override name = 'DatabaseStalledError';
}

export interface StallOptions {
  /** Time between two checks. */
  checkEveryMs: number;
  /** Time for the response to a check. */
  timeoutMs: number;
}

/** A statement waits for a stopped database for up to 12 seconds, a request that has to open a connection for up to 20. */
export const STALL_OPTIONS: StallOptions = { checkEveryMs: 2_000, timeoutMs: 5_000 };

/** One check may fail because this process itself did nothing for some seconds. */
const FAILURES = 2;

interface Monitored {
  /** Whether a statement could wait for a response. */
  isInUse: () => boolean;
  /** Runs a short statement on a connection that is always free. */
  ping: () => Promise<unknown>;
  /** Closes the connections that are in use, so that their statements fail. */
  closeConnections: () => void;
  warn: (message: string) => void;
}

/**
 * Detects a database that keeps its connections open but does not respond: a stopped process, a host that is gone without
 * a word. Statements have no time limit on this side that would fit all of them: a large batch may take minutes. So while
 * connections are in use a short statement is sent from time to time, and when it gets no response, nor does the next, all
 * connections in use are closed. From then on statements fail at once, until the database responds again.
 */
export class StallMonitor {
  private failures = 0;
  private readonly timer: NodeJS.Timeout;
  private isChecking = false;

  constructor(
    private readonly monitored: Monitored,
    private readonly options: StallOptions,
  ) {
    this.timer = setInterval(() => {
      if (!this.isChecking && (this.isStalled || monitored.isInUse())) void this.check();
    }, options.checkEveryMs).unref();
  }

  get isStalled(): boolean {
    return this.failures >= FAILURES;
  }

  stop(): void {
    clearInterval(this.timer);
  }

  private async check(): Promise<void> {
    this.isChecking = true;
    do {
      const before = this.failures;
      this.failures = (await this.hasResponded()) ? 0 : before + 1;
      if (this.failures === FAILURES) {
        this.monitored.warn(
          'the database does not respond; its connections are closed, and requests fail until it does',
        );
        this.monitored.closeConnections();
      }
      if (before >= FAILURES && this.failures === 0) this.monitored.warn('the database responds again');
      // The second check follows at once.
    } while (this.failures > 0 && this.failures < FAILURES);
    this.isChecking = false;
  }

  /** An error is a response too: a database that is away is reported by each statement itself. */
  private async hasResponded(): Promise<boolean> {
    const timeout = new AbortController();
    const responded = this.monitored.ping().then(
      () => true,
      (error: unknown) => !/timeout/i.test(String(error)),
    );
    const late = sleep(this.options.timeoutMs, false, { signal: timeout.signal, ref: false }).catch(() => false);
    const result = await Promise.race([responded, late]);
    timeout.abort();
    return result;
  }
}
