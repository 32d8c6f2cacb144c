/** The longest time that a list is processed without a yield; a single item may take longer. */
const YIELD_AFTER_MS = 5;

const waiting: (() => void)[] = [];

/**
 * Resolves in a later turn of the event loop. Long work calls it between two pieces of a few milliseconds.
 *
 * Each turn resumes one caller. With `setImmediate` all callers would continue in the same turn, so that a small request, which
 * needs several turns, would wait for a piece of every large one in each of them.
 */
export function nextTurn(): Promise<void> {
  return new Promise((resolve) => {
    waiting.push(resolve);
    if (waiting.length === 1) setImmediate(resumeOne);
  });
}

function resumeOne(): void {
  waiting.shift()?.();
  if (waiting.length > 0) setImmediate(resumeOne);
}

/** Lets other requests run while a long list is processed. */
export class EventLoopYield {
  private until = performance.now() + YIELD_AFTER_MS;

  get isDue(): boolean {
    return performance.now() > this.until;
  }

  async yield(): Promise<void> {
    await nextTurn();
    this.until = performance.now() + YIELD_AFTER_MS;
  }
}
