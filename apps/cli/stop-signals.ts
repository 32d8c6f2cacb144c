import { constants } from 'node:os';
import { watchOutput } from '../lost-output.js';
import { printMessage } from './output.js';

/** The exit code of a shell for a command that a signal has ended is this plus the number of the signal. */
const EXIT_SIGNAL = 128;

/** SIGINT and SIGTERM, which end a command cleanly. Its result is not what it prints. */
export class StopSignals {
  private readonly abort = new AbortController();
  private received: 'SIGINT' | 'SIGTERM' = 'SIGINT';

  constructor() {
    watchOutput();
    // The handlers stay registered, because npm may send a second SIGINT.
    for (const name of ['SIGINT', 'SIGTERM'] as const) {
      process.on(name, () => {
        if (this.abort.signal.aborted) return;
        this.received = name;
        this.abort.abort();
      });
    }
  }

  /** Aborted by the first of them. */
  get signal(): AbortSignal {
    return this.abort.signal;
  }

  /** 130 after SIGINT, 143 after SIGTERM. */
  get exitCode(): number {
    return EXIT_SIGNAL + constants.signals[this.received];
  }
}

/**
 * Runs work that a signal stops.
 * @param outcome what is printed then, such as "nothing was restored", or a function that returns it
 * @returns undefined where a signal has stopped it
 */
export async function runUntilStopped<T>(
  outcome: string | (() => string),
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T | undefined> {
  const stop = new StopSignals();
  try {
    return await work(stop.signal);
  } catch (error) {
    if (!stop.signal.aborted) throw error;
    printMessage(`stowage: interrupted; ${typeof outcome === 'string' ? outcome : outcome()}`);
    process.exitCode = stop.exitCode;
    return undefined;
  }
}
