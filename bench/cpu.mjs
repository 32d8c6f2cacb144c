import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';

/** The clock tick of /proc: USER_HZ is 100 on all common Linux systems. */
const TICK_MICROS = 10_000;

/** Returns the processor time of each process in microseconds. */
export async function cpuMicros(pids) {
  const all = await Promise.all(pids.map(async (pid) => [pid, (await statOf(pid)).cpuTicks * TICK_MICROS]));
  return new Map(all);
}

/** Returns the processor time since `before`, summed over the processes in `now`. */
export function spentMicros(before, now) {
  return [...now].reduce((sum, [pid, micros]) => sum + micros - (before.get(pid) ?? 0), 0);
}

/** Returns the process ids of the postmaster and its children. */
export async function postgresPids({ folder }) {
  const postmaster = Number(
    (await readFile(join(folder, 'data', 'postgres', 'postmaster.pid'), 'utf8')).split('\n')[0],
  );
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name)).map(Number);
  const stats = await Promise.all(pids.map(async (pid) => ({ pid, ...(await statOf(pid)) })));
  return stats.filter(({ pid, parent }) => pid === postmaster || parent === postmaster).map(({ pid }) => pid);
}

/** Returns zeros for a process that has exited. */
async function statOf(pid) {
  const text = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '');
  // The name in parentheses may contain spaces. After it: state, parent, and as fields 14 and 15 the ticks.
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  return { parent: Number(fields[1] ?? 0), cpuTicks: Number(fields[11] ?? 0) + Number(fields[12] ?? 0) };
}
