import { setImmediate as nextTurn } from 'node:timers/promises';

/** The longest time that a list is processed without a yield; a single item may take longer. */
const YIELD_AFTER_MS = 5;

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
