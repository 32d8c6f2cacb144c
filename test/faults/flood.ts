import { fork } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { send } from './http.js';
import { peakResidentBytes, resetPeakResidentBytes } from './postgres-processes.js';
import type { Stack } from './stack.js';

/** `start`, then `repeat` for a number of times, then `end`. `{n}` in `repeat` is replaced by the number of the repetition. */
interface AttackBody {
  start?: string;
  repeat?: string;
  times?: number;
  end?: string;
  gzip?: boolean;
}

/** Equal requests; `{request}` in the path, a header or the body is replaced by the number of the request. */
export interface Attack {
  method: string;
  path: string;
  headers: Record<string, string>;
  body?: AttackBody;
  count: number;
  /** The number of requests at a time. */
  connections: number;
  /** Sends the start of the body, and then one repetition in each second. */
  isSlow?: boolean;
  /** Leaves the connections open and does not read the bodies of responses. */
  isUnread?: boolean;
  /** The statuses of its responses. */
  expected: readonly number[];
}

/** A client that is not involved: it sends one request after the other during a flood. */
export interface Bystander {
  key: string;
  path: string;
  /** The statuses of its responses. */
  expected: readonly number[];
}

export interface FloodResult {
  /** For each attack, the number of responses by status. */
  statuses: Record<string, number>[];
  /** The requests of the bystander and to /health/live that did not get the expected status. */
  failures: string[];
  served: number;
  slowestMs: { read: number; live: number };
  /** The largest resident memory of the server. */
  peakBytes: number;
}

const FLOODER = join(process.cwd(), 'test/faults/flooder.mjs');
const PAUSE_MS = 20;
/** A database that does not respond keeps a request waiting for up to 20 s. */
const TIMEOUT_MS = 30_000;

/** Runs attacks from another process, while the bystander and a health check send requests. @param meanwhile runs during the attacks */
export async function flood(
  stack: Stack,
  attacks: readonly Attack[],
  bystander: Bystander,
  meanwhile: () => Promise<void> = () => Promise.resolve(),
): Promise<FloodResult> {
  const pid = stack.server?.child.pid ?? 0;
  const { origin } = new URL(stack.url);
  const flooder = fork(FLOODER, { execArgv: [] });
  try {
    const started = once(flooder, 'message');
    flooder.send({ origin, attacks });
    await started;
    await resetPeakResidentBytes(pid);
    const ended = once(flooder, 'message') as Promise<[Record<string, number>[]]>;
    const ending = new AbortController();
    const read = repeat(`${origin}${bystander.path}`, bystander, ending.signal);
    const live = repeat(`${origin}/health/live`, { key: bystander.key, expected: [200] }, ending.signal);
    let statuses: Record<string, number>[];
    try {
      [[statuses]] = await Promise.all([ended, meanwhile()]);
    } finally {
      ending.abort();
      await Promise.all([read, live]);
    }
    const [ofRead, ofLive] = [await read, await live];
    return {
      statuses,
      failures: [...ofRead.failures, ...ofLive.failures],
      served: ofRead.served + ofLive.served,
      slowestMs: { read: ofRead.slowestMs, live: ofLive.slowestMs },
      peakBytes: await peakResidentBytes(pid),
    };
  } finally {
    if (flooder.connected) flooder.disconnect();
  }
}

async function repeat(url: string, { key, expected }: Omit<Bystander, 'path'>, signal: AbortSignal) {
  const result = { failures: [] as string[], served: 0, slowestMs: 0 };
  do {
    const start = performance.now();
    const outcome = await send(url, { method: 'GET', headers: { 'X-Api-Key': key } }, TIMEOUT_MS).then(
      ({ status, text }) => (expected.includes(status) ? undefined : `GET ${url}: ${String(status)} ${text}`),
      String,
    );
    if (outcome === undefined) result.served++;
    else result.failures.push(outcome);
    result.slowestMs = Math.max(result.slowestMs, performance.now() - start);
    await sleep(PAUSE_MS);
  } while (!signal.aborted);
  return result;
}
