import cluster, { type Worker } from 'node:cluster';
import { fileURLToPath } from 'node:url';
import { createLog, StartupError, type Config } from '#platform';
import { openEmbedded, type EmbeddedPostgres } from '#database';
import type { Logger } from 'pino';
import type { RunningServer } from './serve.js';
import { welcomeText } from './welcome-text.js';

/** The pause before a process that ended is started again; it doubles up to the maximum while the process keeps ending. */
const RESTART_MS = 1_000;
const RESTART_MS_MAX = 30_000;
/** A process that was ready for this long begins with the short pause again. */
const STABLE_MS = 60_000;
/** A process that does not stop is killed, so that the embedded database can be closed within the time of the whole stop. */
const KILL_AFTER_MS = 7_500;

const PROCESS = fileURLToPath(new URL('./server-process.js', import.meta.url));

type Ready = Pick<RunningServer, 'welcome' | 'metricsUrl'>;

/** What a process reports to this one: that it accepts requests, or why it cannot. */
export type ProcessReport = { ready: Ready } | { failure: string };

/**
 * The processes of a server. This process owns the listening socket and the embedded database, and gives each connection to one of
 * the others, in turn. It has no connection to the database that requests or jobs use.
 */
export class ServerProcesses {
  private readonly log: Logger;
  private readonly timers = new Set<NodeJS.Timeout>();
  private isStopping = false;

  private constructor(
    config: Config,
    private readonly embedded: EmbeddedPostgres | undefined,
    private readonly signal: AbortSignal,
  ) {
    this.log = createLog(config.log.level);
    // The processes may have had the signal too: the terminal sends it to the whole group.
    const setStopping = (): void => {
      this.isStopping = true;
      // One that starts may wait for another process.
      for (const worker of workersAlive()) worker.process.kill('SIGTERM');
    };
    if (signal.aborted) setStopping();
    else signal.addEventListener('abort', setStopping, { once: true });
  }

  /**
   * Starts all processes. The first one runs the migrations and the first start; where the server is to stop by then, no others are
   * started.
   * @param port the port of all of them; with 0 they would have another one after they have all ended
   * @throws StartupError when one of them cannot start
   */
  static async start(
    config: Config,
    port: number,
    say: (line: string) => void,
    signal: AbortSignal,
  ): Promise<ServerProcesses> {
    const processes = new ServerProcesses(config, await openEmbedded(config, say), signal);
    if (signal.aborted) return processes;
    const { processes: count } = config.http;
    if (config.metrics.isOn && config.metrics.token !== null && config.metrics.port === null) {
      processes.log.warn(
        'METRICS_TOKEN has no effect: several processes (WEB_CONCURRENCY, --processes) have their metrics on METRICS_PORT only, which is not set',
      );
    }
    cluster.schedulingPolicy = cluster.SCHED_RR;
    cluster.setupPrimary({ exec: PROCESS, args: [] });
    const settings = { WEB_CONCURRENCY: String(count), PORT: String(port) };
    try {
      const first = await processes.add(settings);
      const others = processes.isStopping ? 0 : count - 1;
      const all = [first, ...(await Promise.all(Array.from({ length: others }, () => processes.add(settings))))];
      say(
        welcomeText(
          first.welcome,
          all.map(({ metricsUrl }) => metricsUrl),
        ),
      );
      return processes;
    } catch (error) {
      await processes.stop();
      throw error;
    }
  }

  /** Stops all processes, then the embedded database. */
  async stop(): Promise<void> {
    this.isStopping = true;
    for (const timer of this.timers) clearTimeout(timer);
    await Promise.all(workersAlive().map((worker) => this.stopProcess(worker)));
    await this.embedded?.stopIfUnused();
  }

  private stopProcess(worker: Worker): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(() => {
        this.log.warn(`process ${pidOf(worker)} does not stop and is killed`);
        worker.process.kill('SIGKILL');
      }, KILL_AFTER_MS);
      worker.once('exit', () => {
        clearTimeout(timer);
        resolve();
      });
      // It has had the signal already where the terminal sends it to the whole group.
      worker.process.kill('SIGTERM');
    });
  }

  /** Starts a process that is started again when it ends. @throws StartupError */
  private async add(settings: Record<string, string>, pauseMs = RESTART_MS): Promise<Ready> {
    const worker = cluster.fork(settings);
    // Without a listener it would end this process. `reportOf` reports a failed start, and an exit follows any other error.
    worker.on('error', () => undefined);
    const report = await reportOf(worker);
    // It may have ended by the signal of this process.
    if ('ended' in report) throw new StartupError(report.ended, { cause: this.signal.reason });
    if ('failure' in report) throw new StartupError(report.failure);
    const sinceMs = performance.now();
    worker.once('exit', (code: number | null, signal: string | null) => {
      if (this.isStopping) return;
      this.log.warn(`process ${pidOf(worker)} of the server has ended with ${signal ?? String(code)}`);
      this.restartAfter(performance.now() - sinceMs > STABLE_MS ? RESTART_MS : pauseMs, settings);
    });
    return report.ready;
  }

  /** Other processes serve meanwhile, so a process that cannot start does not end them: the database may be away for a while. */
  private restartAfter(pauseMs: number, settings: Record<string, string>): void {
    const nextMs = Math.min(2 * pauseMs, RESTART_MS_MAX);
    const timer = setTimeout(() => {
      this.timers.delete(timer);
      this.add(settings, nextMs).then(
        () => {
          this.log.warn('a process of the server was started again');
        },
        (error: unknown) => {
          if (this.isStopping) return;
          this.log.warn(`${(error as Error).message}; trying again in ${String(nextMs / 1_000)} s`);
          this.restartAfter(nextMs, settings);
        },
      );
    }, pauseMs);
    this.timers.add(timer);
  }
}

/** The first report of a process. One that ends without a report, such as by a crash, has written its reason to the log. */
function reportOf(worker: Worker): Promise<ProcessReport | { ended: string }> {
  return new Promise((resolve) => {
    worker.once('message', resolve);
    // A process that cannot be created, such as by EAGAIN or EMFILE, has no exit.
    worker.once('error', (error) => {
      resolve({ failure: `a process of the server cannot be started: ${error.message}` });
    });
    worker.once('exit', (code: number | null, signal: string | null) => {
      resolve({
        ended: `process ${pidOf(worker)} of the server ended with ${signal ?? String(code)} while it started`,
      });
    });
  });
}

function workersAlive(): Worker[] {
  return Object.values(cluster.workers ?? {}).flatMap((worker) => (worker?.isDead() === false ? worker : []));
}

function pidOf({ process: { pid } }: Worker): string {
  return String(pid);
}
