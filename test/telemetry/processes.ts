import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { createServer, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import { buffer } from 'node:stream/consumers';
import { RECORDED } from '../harness/run.js';

/** A request that a receiver got. */
interface Received {
  path: string;
  body: string;
}

/** A server that accepts every request, in place of an outside service. @param port default: any free one */
export async function startReceiver(
  port = 0,
): Promise<{ origin: string; received: Received[]; stop: () => Promise<void> }> {
  const received: Received[] = [];
  const server = createServer((request: IncomingMessage, response) => {
    void buffer(request).then((body) => {
      received.push({ path: request.url ?? '', body: body.toString() });
      response.setHeader('Content-Type', 'application/json').end('{}');
    });
  });
  server.listen(port, '127.0.0.1');
  await once(server, 'listening');
  const stop = async (): Promise<void> => {
    server.closeAllConnections();
    server.close();
    await once(server, 'close');
  };
  return { origin: `http://127.0.0.1:${String((server.address() as AddressInfo).port)}`, received, stop };
}

/** A process of the product. */
export interface Running {
  /** What it has logged so far. */
  log: () => string;
  /** The match of the line that it printed when it was ready. */
  ready: RegExpExecArray;
  stop: () => Promise<void>;
}

/** Starts a server or a worker from `dist`, and waits until it prints that it is ready. @throws Error where it ends before */
export async function startProcess(
  app: 'api' | 'worker',
  env: Record<string, string>,
  ready: RegExp,
): Promise<Running> {
  const child: ChildProcess = spawn(process.execPath, [...RECORDED, `dist/apps/${app}/main.js`], {
    env: { PATH: process.env.PATH, PORT: '0', ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let [stdout, log] = ['', ''];
  child.stderr?.on('data', (chunk: Buffer) => (log += chunk.toString()));
  const ended = once(child, 'close');
  const match = await new Promise<RegExpExecArray>((resolve, reject) => {
    child.stdout?.on('data', (chunk: Buffer) => {
      const found = ready.exec((stdout += chunk.toString()));
      if (found !== null) resolve(found);
    });
    void ended.then(() => {
      reject(new Error(`${app} ended before it was ready: ${stdout}${log}`));
    });
  });
  const stop = async (): Promise<void> => {
    child.kill('SIGTERM');
    await ended;
  };
  return { log: () => log, ready: match, stop };
}
