import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

/** Starts bare-fastify.mjs in a separate process, as the product is. */
export async function startBare({ address, projectId, pages = [] }) {
  const child = spawn(process.execPath, [fileURLToPath(new URL('bare-fastify.mjs', import.meta.url))], {
    env: { ...process.env, BARE: JSON.stringify({ address, projectId, pages }) },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const [url] = await once(createInterface(child.stdout), 'line');
  return {
    url,
    pid: child.pid,
    async stop() {
      const ended = once(child, 'exit');
      child.kill('SIGTERM');
      await ended;
    },
  };
}
