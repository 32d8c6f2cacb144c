/**
 * Measures the processor time of the main thread between two turns of the event loop: no other request is served during it.
 * A process that loads this module with `--import` responds to the message `measure` with the longest time since the message
 * `start`, in milliseconds, and with the time that `JSON.parse` takes for 1 MiB of small values.
 */
import { readFileSync } from 'node:fs';

const STAT = `/proc/self/task/${process.pid}/schedstat`;
const REFERENCE = `[${'[1],'.repeat(256 * 1024)}1]`;

let last = spentMs();
let longestMs = 0;

/** Only Linux has the time of a single thread; elsewhere it is that of the process. */
function spentMs() {
  if (process.platform !== 'linux') return process.cpuUsage().user / 1e3;
  return Number(readFileSync(STAT, 'utf8').split(' ')[0]) / 1e6;
}

/** The best of several times, because the first ones are slower. */
function referenceMs() {
  const times = Array.from({ length: 5 }, () => {
    const before = spentMs();
    JSON.parse(REFERENCE);
    return spentMs() - before;
  });
  return Math.min(...times);
}

setInterval(() => {
  const now = spentMs();
  longestMs = Math.max(longestMs, now - last);
  last = now;
}, 2).unref();

process.on('message', (message) => {
  if (message === 'measure') process.send({ longestMs, referenceMs: referenceMs() });
  longestMs = 0;
  last = spentMs();
});
process.channel?.unref();
