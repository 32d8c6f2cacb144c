import { StartupError, type Config } from '#platform';
import { readConfig } from '../read-config.js';
import { serve } from './serve.js';

/** A stop that takes longer is ended: an orchestrator kills after 10 s, and a crash is what the database is made for. */
const STOP_WITHIN_MS = 9_500;

/** Runs the server until a signal ends it. */
export function runServer(): Promise<void> {
  return runUntilSignal(serve);
}

type Start = (config: Config, say: (line: string) => void) => Promise<{ stop(): Promise<void> }>;

/** Runs something until a signal ends it; the process's exit code says how it went. */
export async function runUntilSignal(start: Start): Promise<void> {
  try {
    const stopping = new Promise<void>((resolve) => {
      // Stays registered: a second signal must not cut the stop short. Also while it starts, which may last a recovery.
      const stop = (): void => {
        setTimeout(() => process.exit(1), STOP_WITHIN_MS).unref();
        resolve();
      };
      for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, stop);
    });
    const running = await start(readConfig(), say);
    await stopping;
    say('stopping');
    await running.stop();
    say('stopped');
    process.exit(0);
  } catch (error) {
    failStart(error);
  }
}

/** Ends the process with one line for what the user can mend, and with everything for what only we can. */
function failStart(error: unknown): never {
  if (error instanceof StartupError) process.stderr.write(`stowage: ${error.message}\n`);
  else
    process.stderr.write(
      `stowage: this is a fault of ours\n${error instanceof Error ? String(error.stack) : String(error)}\n`,
    );
  process.exit(1);
}

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}
