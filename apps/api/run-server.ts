import { runUntilSignal } from '../run-until-signal.js';
import { serve } from './serve.js';

/** Runs the server until SIGTERM or SIGINT. */
export function runServer(): Promise<void> {
  return runUntilSignal(serve);
}
