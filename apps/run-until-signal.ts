import { internalErrorText, StartupError, type Config } from '#platform';
import { watchOutput, writeLine } from './lost-output.js';
import { readConfig, type ConfigOptions } from './read-config.js';

/** A stop that takes longer ends with exit code 1: orchestrators kill after 10 s, and the database recovers from a crash. */
const STOP_WITHIN_MS = 9_500;

/** @param signal aborted by the first signal, which may come while it starts */
type Start = (config: Config, say: (line: string) => void, signal: AbortSignal) => Promise<{ stop(): Promise<void> }>;

/** Receives lines for the user, and the error of a start. */
export interface Reporter {
  say: (line: string) => void;
  /** Ends the process. */
  fail: (error: unknown) => void;
}

/** Runs a server or a worker until SIGTERM or SIGINT. Ends the process: exit code 0 after a stop, 1 after an error. */
export async function runUntilSignal(
  start: Start,
  options: ConfigOptions = {},
  { say, fail }: Reporter = TERMINAL,
): Promise<void> {
  watchOutput();
  // Also of a rejection that nothing handles. Node.js would print all members of an error, and those of a database error have rows.
  process.on('uncaughtException', fail);
  try {
    const abort = new AbortController();
    const stopping = new Promise<void>((resolve) => {
      // Registered before the start, which may wait for a recovery. Not removed: a second signal must not end the stop early.
      const stop = (): void => {
        setTimeout(() => process.exit(1), STOP_WITHIN_MS).unref();
        abort.abort();
        resolve();
      };
      for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, stop);
    });
    const running = await start(readConfig(options), say, abort.signal).catch((error: unknown) => {
      // The signal has ended a wait of the start, which has closed what it had opened.
      if (isCausedBy(abort.signal, error)) return null;
      throw error;
    });
    await stopping;
    say('stopping');
    await running?.stop();
    say('stopped');
    process.exit(0);
  } catch (error) {
    fail(error);
  }
}

/** Not of an error of its own that comes after the signal. */
function isCausedBy(signal: AbortSignal, error: unknown): boolean {
  if (!signal.aborted) return false;
  return error === signal.reason || (error instanceof Error && isCausedBy(signal, error.cause));
}

/** The lines on standard output; on standard error one line for an error that the user can fix, the stack for a bug. */
export const TERMINAL: Reporter = {
  say: writeLine,
  fail: (error) => {
    process.stderr.write(error instanceof StartupError ? `stowage: ${error.message}\n` : internalErrorText(error));
    process.exit(1);
  },
};
