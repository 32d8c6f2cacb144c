import { setTimeout as sleep } from 'node:timers/promises';

/** Waits for work, but no longer than this time. The work itself continues. @returns whether it has ended @throws what it throws */
export async function endsWithin(work: Promise<unknown>, timeoutMs: number): Promise<boolean> {
  const timer = new AbortController();
  try {
    const timeout = sleep(timeoutMs, false, timer).catch(() => false);
    return await Promise.race([work.then(() => true), timeout]);
  } finally {
    timer.abort();
  }
}
