import { useRef, useState } from 'preact/hooks';
import type { Problem } from './client.js';
import { toJson } from './json.js';
import { problemOfError } from './use-load.js';

export interface Submit {
  isRunning: boolean;
  problem: Problem | null;
  /** Sends a change; its error becomes `problem`. */
  run: (change: () => Promise<void>) => void;
  /** Forgets the problem. */
  reset: () => void;
  /**
   * A value of `Idempotency-Key` for a body. The same until the server has responded, so that a form that is sent again after
   * a lost response creates nothing twice.
   */
  idempotencyKey: (body: unknown) => string;
}

/** The state of a form that changes something. */
export function useSubmit(): Submit {
  const [state, setState] = useState<{ isRunning: boolean; problem: Problem | null }>({
    isRunning: false,
    problem: null,
  });
  const unanswered = useRef<{ body: string; key: string } | null>(null);
  const run = (change: () => Promise<void>): void => {
    setState({ isRunning: true, problem: null });
    change().then(
      () => {
        unanswered.current = null;
        setState({ isRunning: false, problem: null });
      },
      (error: unknown) => {
        const problem = problemOfError(error);
        if (isResponse(problem)) unanswered.current = null;
        setState({ isRunning: false, problem });
      },
    );
  };
  const reset = (): void => {
    setState({ isRunning: false, problem: null });
  };
  const idempotencyKey = (body: unknown): string => {
    const text = toJson(body);
    if (unanswered.current?.body !== text) unanswered.current = { body: text, key: randomText() };
    return unanswered.current.key;
  };
  return { ...state, run, reset, idempotencyKey };
}

/** Whether the request was rejected, which the server would repeat for a day; otherwise it may have been executed. */
function isResponse({ status, type }: Problem): boolean {
  return status >= 400 && status < 500 && !type.endsWith('#idempotency-in-progress');
}

/** 32 hexadecimal digits. Not `randomUUID`, which browsers have on HTTPS only. */
function randomText(): string {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, '0')).join('');
}
