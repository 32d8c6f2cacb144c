import cluster from 'node:cluster';
import { StartupError } from '#platform';
import { runUntilSignal, TERMINAL, type Reporter } from '../run-until-signal.js';
import { openEmbedded } from '#database';
import { serve } from './serve.js';
import type { ProcessReport } from './server-processes.js';

/** The parent process prints the lines of the stop. */
let reportsSteps = cluster.worker?.id === 1;

const reporter: Reporter = {
  say: (line) => {
    if (reportsSteps) TERMINAL.say(line);
  },
  fail: (error) => {
    if (error instanceof StartupError) report({ failure: error.message }, () => process.exit(1));
    else TERMINAL.fail(error);
  },
};

function report(message: ProcessReport, done: () => void = () => undefined): void {
  process.send?.(message, done);
}

/** One of several processes of a server: `ServerProcesses` starts it. */
await runUntilSignal(
  async (config, say, signal) => {
    signal.addEventListener('abort', () => (reportsSteps = false));
    const server = await serve(config, say, signal, openEmbedded(config, say, true));
    reportsSteps = false;
    report({ ready: { welcome: server.welcome, metricsUrl: server.metricsUrl } });
    return server;
  },
  { isServer: true },
  reporter,
);
