import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';

/** Of Linux' clock in /proc; the same on every machine that one meets. */
const TICK_MICROS = 10_000;

/** The processor time that each of the processes has taken, in microseconds. */
export async function cpuMicros(pids) {
  const all = await Promise.all(pids.map(async (pid) => [pid, (await statOf(pid)).cpuTicks * TICK_MICROS]));
  return new Map(all);
}

/** What those that are there now have taken since. */
export function spentMicros(before, now) {
  return [...now].reduce((sum, [pid, micros]) => sum + micros - (before.get(pid) ?? 0), 0);
}

/** The postmaster and its children. */
export async function postgresPids({ folder }) {
  const postmaster = Number(
    (await readFile(join(folder, 'data', 'postgres', 'postmaster.pid'), 'utf8')).split('\n')[0],
  );
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name)).map(Number);
  const stats = await Promise.all(pids.map(async (pid) => ({ pid, ...(await statOf(pid)) })));
  return stats.filter(({ pid, parent }) => pid === postmaster || parent === postmaster).map(({ pid }) => pid);
}

/** Nothing for one that has ended. */
async function statOf(pid) {
  const text = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '');
  // The name in brackets may have spaces; after it come the state and the parent, and at 14 and 15 the ticks.
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  return { parent: Number(fields[1] ?? 0), cpuTicks: Number(fields[11] ?? 0) + Number(fields[12] ?? 0) };
}
