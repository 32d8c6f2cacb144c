import { setImmediate as nextTurn } from 'node:timers/promises';

/** So long a list is worked on without a pause; one thing of it may take longer. */
const SLICE_MS = 5;

/** Lets other requests have their turn while a long list is worked on. */
export class Pause {
  private until = performance.now() + SLICE_MS;

  get isDue(): boolean {
    return performance.now() > this.until;
  }

  async take(): Promise<void> {
    await nextTurn();
    this.until = performance.now() + SLICE_MS;
  }
}
