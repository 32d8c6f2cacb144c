import { runUntilSignal } from '../run-until-signal.js';
import { checkAddress } from './listen.js';

/** Runs the server until SIGTERM or SIGINT. */
export function runServer(): Promise<void> {
  return runUntilSignal(async (config, say) => {
    await checkAddress(config.http);
    // Imported only now: loading the API takes longer than a second, and a wrong address or setting is reported without it.
    const { serve } = await import('./serve.js');
    return serve(config, say);
  });
}
