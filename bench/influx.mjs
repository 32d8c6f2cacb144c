import { spawn } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

const PORT = 18_086;

/**
 * Starts InfluxDB 1.x, as in the Debian package `influxdb`, on loopback with a temporary folder. @returns null if it is not
 * installed
 */
export async function startInflux() {
  const folder = await mkdtemp(join(tmpdir(), 'stowage-influx-'));
  const config = join(folder, 'influxdb.conf');
  await writeFile(
    config,
    `reporting-disabled = true
bind-address = "127.0.0.1:${PORT + 2}"
[meta]
  dir = "${folder}/meta"
[data]
  dir = "${folder}/data"
  wal-dir = "${folder}/wal"
  max-series-per-database = 0
  query-log-enabled = false
[http]
  bind-address = "127.0.0.1:${PORT}"
  log-enabled = false
[logging]
  level = "error"
`,
  );
  const child = spawn('influxd', ['-config', config], { stdio: 'ignore' });
  const isMissing = await Promise.race([
    new Promise((resolve) => child.once('error', () => resolve(true))),
    sleep(500).then(() => false),
  ]);
  const url = `http://127.0.0.1:${PORT}`;
  const stop = async () => {
    if (!isMissing && child.exitCode === null) {
      const ended = new Promise((resolve) => child.once('exit', resolve));
      child.kill('SIGTERM');
      await ended;
    }
    await rm(folder, { recursive: true, force: true });
  };
  if (isMissing) {
    await stop();
    console.log('InfluxDB is not installed (apt-get install influxdb) and is skipped');
    return null;
  }
  for (let i = 0; i < 100; i++) {
    if (
      await fetch(`${url}/ping`).then(
        (reply) => reply.ok,
        () => false,
      )
    )
      break;
    await sleep(100);
  }
  await fetch(`${url}/query?q=${encodeURIComponent('CREATE DATABASE bench')}`, { method: 'POST' });
  return { url, pid: child.pid, stop };
}

/** @returns the first value of the first series, or null */
export async function queryInflux(url, query) {
  const reply = await fetch(`${url}/query?db=bench&q=${encodeURIComponent(query)}`);
  const { results } = await reply.json();
  return results[0].series?.[0].values[0][1] ?? null;
}
