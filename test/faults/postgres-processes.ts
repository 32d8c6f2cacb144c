import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

/** Returns the process id of the PostgreSQL of a data directory, from postmaster.pid; null if it does not run. */
async function findPostmaster(dataDir: string): Promise<number | null> {
  const pid = Number.parseInt(await readFile(join(dataDir, 'postmaster.pid'), 'utf8').catch(() => ''), 10);
  return pid > 0 ? pid : null;
}

/** Kills all processes of PostgreSQL, only the postmaster, or one backend of Stowage. */
export async function killPostgres(dataDir: string, what: 'all' | 'postmaster' | 'backend'): Promise<void> {
  const postmaster = await findPostmaster(dataDir);
  if (postmaster === null) return;
  const children = await childrenOf(postmaster);
  const backend = children.find(({ title }) => /^postgres: stowage stowage /.test(title));
  if (what === 'backend' && backend !== undefined) kill(backend.pid, 'SIGKILL');
  if (what !== 'backend') kill(postmaster, 'SIGKILL');
  if (what === 'all') for (const { pid } of children) kill(pid, 'SIGKILL');
}

/** Sends a signal to all processes of PostgreSQL: SIGSTOP suspends them, SIGCONT resumes them. */
export async function signalPostgres(dataDir: string, signal: 'SIGSTOP' | 'SIGCONT'): Promise<void> {
  const postmaster = await findPostmaster(dataDir);
  if (postmaster === null) throw new Error('PostgreSQL does not run');
  kill(postmaster, signal);
  for (const { pid } of await childrenOf(postmaster)) kill(pid, signal);
}

/** Stops a PostgreSQL that is still running, and waits until it has stopped. */
export async function stopPostgres(dataDir: string): Promise<void> {
  const postmaster = await findPostmaster(dataDir);
  if (postmaster === null || !(await isPostgres(postmaster))) return;
  kill(postmaster, 'SIGQUIT');
  for (let i = 0; i < 500 && (await isPostgres(postmaster)); i++) await sleep(20);
}

function kill(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch {
    // The process has already exited.
  }
}

/** Checks the name, because the process id may have been reused. */
async function isPostgres(pid: number): Promise<boolean> {
  const stat = await readFile(`/proc/${String(pid)}/stat`, 'utf8').catch(() => '');
  return /^\d+ \(postgres\) [^ZX]/.test(stat);
}

/** Reads /proc: these tests run on Linux only. */
export async function childrenOf(parent: number): Promise<{ pid: number; title: string }[]> {
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name)).map(Number);
  const found = await Promise.all(
    pids.map(async (pid) => {
      const stat = await readFile(`/proc/${String(pid)}/stat`, 'utf8').catch(() => '');
      const [, ppid] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
      if (Number(ppid) !== parent) return [];
      const title = await readFile(`/proc/${String(pid)}/cmdline`, 'utf8').catch(() => '');
      return [{ pid, title: title.replaceAll('\0', ' ') }];
    }),
  );
  return found.flat();
}

/** Returns the resident memory of a process in bytes. */
export async function residentBytes(pid: number): Promise<number> {
  return statusBytes(pid, 'VmRSS');
}

/** Returns the largest resident memory of a process since its start or the last reset, in bytes. */
export async function peakResidentBytes(pid: number): Promise<number> {
  return statusBytes(pid, 'VmHWM');
}

export async function resetPeakResidentBytes(pid: number): Promise<void> {
  await writeFile(`/proc/${String(pid)}/clear_refs`, '5');
}

async function statusBytes(pid: number, field: string): Promise<number> {
  const status = await readFile(`/proc/${String(pid)}/status`, 'utf8');
  return Number(new RegExp(`${field}:\\s+(\\d+) kB`).exec(status)?.[1]) * 1024;
}
