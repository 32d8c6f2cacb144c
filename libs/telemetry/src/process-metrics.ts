import { monitorEventLoopDelay } from 'node:perf_hooks';
import { productVersion } from '#platform';
import type { Metrics } from './metrics.js';

/** A window of the event loop's delay; a scrape reads the last whole window, so that several scrapers see the same. */
const WINDOW_MS = 10_000;
/** How often the delay is sampled. */
const RESOLUTION_MS = 20;

interface Delay extends Record<string, number> {
  mean: number;
  p99: number;
  max: number;
}

/** Measures this process. @returns a function that stops it */
export function measureProcess(metrics: Metrics): () => void {
  const stopThreads = countThreads(metrics);
  const histogram = monitorEventLoopDelay({ resolution: RESOLUTION_MS });
  histogram.enable();
  let last: Delay | null = null;
  const timer = setInterval(() => {
    last = delayOf(histogram);
    histogram.reset();
  }, WINDOW_MS).unref();
  let cpuSeconds = 0;
  metrics.build.set({ version: productVersion(), node: process.version }, 1);
  metrics.startTime.set(Math.round(Date.now() / 1_000 - process.uptime()));
  metrics.beforeScrape(() => {
    const { user, system } = process.cpuUsage();
    const now = (user + system) / 1e6;
    metrics.cpuSeconds.inc(now - cpuSeconds);
    cpuSeconds = now;
    const memory = process.memoryUsage();
    metrics.residentBytes.set(memory.rss);
    metrics.heapBytes.set(memory.heapUsed);
    for (const [quantity, seconds] of Object.entries(last ?? delayOf(histogram))) {
      metrics.eventLoopLag.set({ quantity }, seconds);
    }
  });
  return () => {
    clearInterval(timer);
    histogram.disable();
    stopThreads();
  };
}

/** In seconds, beyond the time between two samples. */
function delayOf(histogram: ReturnType<typeof monitorEventLoopDelay>): Delay {
  const secondsOf = (nanoseconds: number): number =>
    Number.isFinite(nanoseconds) ? Math.max(0, nanoseconds / 1e9 - RESOLUTION_MS / 1e3) : 0;
  return { mean: secondsOf(histogram.mean), p99: secondsOf(histogram.percentile(99)), max: secondsOf(histogram.max) };
}

function countThreads({ workerThreads }: Metrics): () => void {
  workerThreads.set(0);
  const onWorker = (worker: NodeJS.EventEmitter): void => {
    workerThreads.inc();
    worker.once('exit', () => {
      workerThreads.dec();
    });
  };
  process.on('worker', onWorker);
  return () => process.off('worker', onWorker);
}
