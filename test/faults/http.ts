import { Agent, request, type IncomingMessage } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';

/** Longer than any request of these tests takes. */
const TIMEOUT_MS = 60_000;
/** A response with its complete body. */
export interface Reply {
  status: number;
  headers: Record<string, string | undefined>;
  text: string;
}

/** A request; an iterable body is sent chunked, with backpressure. */
export interface RequestData {
  method: string;
  headers?: Record<string, string>;
  body?: string | Buffer | Iterable<string | Buffer> | AsyncIterable<string | Buffer>;
}

/** The connection broke before the response was complete; the outcome of the request is unknown. */
export class ConnectionBroken extends Error {
  override name = 'ConnectionBroken';
}

/** The response did not arrive within the time limit. */
export class RequestTimeout extends Error {
  override name = 'RequestTimeout';
}

/** Sends one request on a new connection. @throws ConnectionBroken @throws RequestTimeout */
export function send(url: string, { method, headers = {}, body }: RequestData, timeoutMs = TIMEOUT_MS): Promise<Reply> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => {
      reject(new RequestTimeout(`${method} ${url} has no response after ${String(timeoutMs)} ms`));
      call.destroy();
    }, timeoutMs);
    const fail = (error: Error): void => {
      clearTimeout(timer);
      reject(new ConnectionBroken(`${method} ${url}: ${error.message}`));
    };
    // Sends `Connection: keep-alive`, as most clients do. The agent is for this request alone, so that no connection is reused: one that
    // the server closes while it is idle would be reported as a fault.
    const agent = new Agent({ keepAlive: true });
    const call = request(url, { method, headers, agent });
    call.once('close', () => {
      agent.destroy();
    });
    // A server may respond and close before it has read the whole body; errors of later writes are then expected.
    let hasResponse = false;
    call.on('error', (error) => {
      if (!hasResponse) fail(error);
    });
    call.on('response', (response) => {
      hasResponse = true;
      readBody(response).then((text) => {
        clearTimeout(timer);
        call.destroy();
        const responseHeaders = response.headers as Record<string, string | undefined>;
        resolve({ status: response.statusCode ?? 0, headers: responseHeaders, text });
      }, fail);
    });
    if (body === undefined || typeof body === 'string' || Buffer.isBuffer(body)) call.end(body);
    else void writeChunks(call, body).catch(fail);
  });
}

async function writeChunks(
  call: ReturnType<typeof request>,
  chunks: Iterable<string | Buffer> | AsyncIterable<string | Buffer>,
): Promise<void> {
  call.flushHeaders();
  for await (const chunk of chunks) {
    call.write(chunk);
    // Polled: a connection that breaks does not emit 'drain'.
    while (call.writableNeedDrain && !call.destroyed) await sleep(1);
    if (call.destroyed) return;
  }
  call.end();
}

async function readBody(response: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of response) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString();
}
