import { performance } from 'node:perf_hooks';

/** The longest time that a list is processed without a yield; a single item may take longer. */
const YIELD_AFTER_MS = 5;

/** The callers that wait, by project; the next project to be served first. */
const waiting = new Map<number | null, (() => void)[]>();

/**
 * Resolves in a later turn of the event loop. Long work calls it between two pieces of a few milliseconds.
 *
 * Each turn resumes one caller. With `setImmediate` all callers would continue in the same turn, so that a small request, which
 * needs several turns, would wait for a piece of every large one in each of them. Projects take turns, whatever the number of
 * their callers.
 * @param projectId the project that the work belongs to; null for operators
 */
export function nextTurn(projectId: number | null): Promise<void> {
  return new Promise((resolve) => {
    const isIdle = waiting.size === 0;
    const queue = waiting.get(projectId);
    if (queue === undefined) waiting.set(projectId, [resolve]);
    else queue.push(resolve);
    if (isIdle) setImmediate(resumeOne);
  });
}

function resumeOne(): void {
  for (const [projectId, queue] of waiting) {
    queue.shift()?.();
    waiting.delete(projectId);
    if (queue.length > 0) waiting.set(projectId, queue);
    break;
  }
  if (waiting.size > 0) setImmediate(resumeOne);
}

/** Lets other requests run while a long list is processed. */
export class EventLoopYield {
  private until = performance.now() + YIELD_AFTER_MS;

  /** @param projectId the project that the work belongs to; null for operators */
  constructor(private readonly projectId: number | null) {}

  get isDue(): boolean {
    return performance.now() > this.until;
  }

  async yield(): Promise<void> {
    await nextTurn(this.projectId);
    this.until = performance.now() + YIELD_AFTER_MS;
  }
}

/** Long enough for many turns of a busy event loop. */
const LOAD_INTERVAL_MS = 100;
/** The part of an interval in which the event loop ran code from which it counts as saturated. */
const SATURATED_FROM = 0.8;

/**
 * Whether the event loop of this thread was busy for most of the time between the last two questions that are at least an interval
 * apart. It has no timer.
 */
export class EventLoopLoad {
  private before = performance.eventLoopUtilization();
  private measuredAtMs = performance.now();
  private wasSaturated = false;

  get isSaturated(): boolean {
    const nowMs = performance.now();
    if (nowMs - this.measuredAtMs >= LOAD_INTERVAL_MS) {
      const now = performance.eventLoopUtilization();
      this.wasSaturated = performance.eventLoopUtilization(now, this.before).utilization >= SATURATED_FROM;
      this.before = now;
      this.measuredAtMs = nowMs;
    }
    return this.wasSaturated;
  }
}
