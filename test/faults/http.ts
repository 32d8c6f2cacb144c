import { Agent, request, type IncomingMessage } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';

/** Longer than the server takes for anything that is asked of it here. */
const PATIENCE_MS = 60_000;
/** For what it says to the server; no connection is used again, since one that breaks while it is idle is no fault. */
const agent = new Agent({ keepAlive: true });

/** An answer, read whole. */
export interface Reply {
  status: number;
  headers: Record<string, string | undefined>;
  text: string;
}

/** What is sent; a body in pieces is sent chunked, each piece when the connection has room for it. */
export interface Outgoing {
  method: string;
  headers?: Record<string, string>;
  body?: string | Buffer | Iterable<string | Buffer> | AsyncIterable<string | Buffer>;
}

/** Nobody told us what became of the request: the connection broke before the answer was whole. */
export class NoAnswer extends Error {
  override name = 'NoAnswer';
}

/** The request got no answer in a time in which it must have one. */
export class Hangs extends Error {
  override name = 'Hangs';
}

/** One request on a connection of its own. @throws NoAnswer @throws Hangs */
export function send(url: string, { method, headers = {}, body }: Outgoing, patienceMs = PATIENCE_MS): Promise<Reply> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => {
      reject(new Hangs(`${method} ${url} has no answer after ${String(patienceMs)} ms`));
      call.destroy();
    }, patienceMs);
    const fail = (error: Error): void => {
      clearTimeout(timer);
      reject(new NoAnswer(error.message));
    };
    const call = request(url, { method, headers, agent });
    // A server may answer, and close, before it has all of the body; what is sent after that fails and means nothing.
    let isAnswered = false;
    call.on('error', (error) => {
      if (!isAnswered) fail(error);
    });
    call.on('response', (response) => {
      isAnswered = true;
      readWhole(response).then((text) => {
        clearTimeout(timer);
        call.destroy();
        const all = response.headers as Record<string, string | undefined>;
        resolve({ status: response.statusCode ?? 0, headers: all, text });
      }, fail);
    });
    if (body === undefined || typeof body === 'string' || Buffer.isBuffer(body)) call.end(body);
    else void pour(call, body).catch(fail);
  });
}

async function pour(
  call: ReturnType<typeof request>,
  pieces: Iterable<string | Buffer> | AsyncIterable<string | Buffer>,
): Promise<void> {
  call.flushHeaders();
  for await (const piece of pieces) {
    call.write(piece);
    // Polled, because a connection that breaks never has room again and does not say so.
    while (call.writableNeedDrain && !call.destroyed) await sleep(1);
    if (call.destroyed) return;
  }
  call.end();
}

async function readWhole(response: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of response) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString();
}
