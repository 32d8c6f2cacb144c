import { readTlsFiles } from '#platform';
import { runUntilSignal } from '../run-until-signal.js';
import { checkAddress } from './listen.js';
import { welcomeText } from './welcome-text.js';

/**
 * Runs the server until SIGTERM or SIGINT.
 * @param settings those of the command line
 */
export function runServer(settings: Readonly<Record<string, string>> = {}): Promise<void> {
  const options = { settings, isServer: true };
  return runUntilSignal(async (config, say, signal) => {
    const port = await checkAddress(config.http);
    if (config.http.tls !== null) readTlsFiles(config.http.tls);
    if (config.http.processes > 1) {
      const { ServerProcesses } = await import('./server-processes.js');
      return ServerProcesses.start(config, port, say, signal);
    }
    // Imported only now: loading the API takes longer than a second, and a wrong address or setting is reported without it.
    // PostgreSQL starts meanwhile.
    const { openEmbedded } = await import('#database');
    const embedded = openEmbedded(config, say);
    // Its error is reported by `serve`.
    embedded.catch(() => undefined);
    const { serve } = await import('./serve.js');
    const server = await serve(config, say, signal, embedded);
    say(welcomeText(server.welcome, [server.metricsUrl]));
    return server;
  }, options);
}
