import { useState } from 'preact/hooks';
import type { Problem } from './types.js';
import { problemOfError } from './use-load.js';

export interface Submit {
  isRunning: boolean;
  problem: Problem | null;
  /** Sends a change; its error becomes `problem`. */
  run: (change: () => Promise<void>) => void;
  /** Forgets the problem. */
  reset: () => void;
}

/** The state of a form that changes something. */
export function useSubmit(): Submit {
  const [state, setState] = useState<{ isRunning: boolean; problem: Problem | null }>({
    isRunning: false,
    problem: null,
  });
  const run = (change: () => Promise<void>): void => {
    setState({ isRunning: true, problem: null });
    change().then(
      () => {
        setState({ isRunning: false, problem: null });
      },
      (error: unknown) => {
        setState({ isRunning: false, problem: problemOfError(error) });
      },
    );
  };
  const reset = (): void => {
    setState({ isRunning: false, problem: null });
  };
  return { ...state, run, reset };
}

/** A new value of `Idempotency-Key`: a form that is sent again after a lost response creates nothing twice. */
export function idempotencyKey(): string {
  // Not randomUUID, which browsers have on HTTPS only.
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, '0')).join('');
}
