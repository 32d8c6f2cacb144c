import type { IncomingMessage, ServerResponse } from 'node:http';

/** The largest rest of a body that is read after the response; 256 KiB is less than one round trip of a fast connection. */
const REST_BYTES_MAX = 256 * 1024;
/** How long a client that is still sending has to read the response before the connection is closed. */
const REST_WAIT_MS = 2_000;

const discarded = new WeakSet<IncomingMessage>();

/**
 * Discards the rest of a body whose response does not need it. Call it before the headers of the response are sent.
 *
 * A short rest is read, so that the connection can be reused. A longer rest is not read: the response has `Connection: close`,
 * the server ends its side of the connection after it, and closes the connection when the client does, or after two seconds.
 * Closing it at once would reset it, and a client that is still sending would lose the response.
 */
export function discardRest(raw: IncomingMessage, response: ServerResponse): void {
  if (raw.complete || discarded.has(raw)) return;
  discarded.add(raw);
  const { socket } = raw;
  if (mayBeLong(raw)) response.setHeader('Connection', 'close');
  // Node.js calls it after a response with `Connection: close`, and would close the connection while the client sends.
  const endOnly = (): void => {
    socket.end();
  };
  socket.destroySoon = endOnly;
  let readBytes = 0;
  raw.unpipe();
  raw.removeAllListeners('data');
  raw.on('data', ({ length }: Buffer) => {
    readBytes += length;
    if (readBytes <= REST_BYTES_MAX) return;
    raw.pause();
    if (response.writableFinished) socket.end();
  });
  raw.resume();
  response.once('finish', () => {
    const timer = setTimeout(() => {
      socket.destroy();
    }, REST_WAIT_MS);
    const stopWaiting = (): void => {
      clearTimeout(timer);
      // The method of the prototype is used again, unless a later request of the connection has set its own.
      if (socket.destroySoon === endOnly) Reflect.deleteProperty(socket, 'destroySoon');
      if (socket.writableEnded) socket.destroySoon();
    };
    if (raw.readableEnded) stopWaiting();
    else {
      raw.once('close', stopWaiting);
      if (readBytes > REST_BYTES_MAX) socket.end();
    }
  });
}

/**
 * Whether the server may have to end the connection. A client must know this from the response: it would send its next request
 * on the connection, and lose it.
 */
function mayBeLong({ headers }: IncomingMessage): boolean {
  return headers['transfer-encoding'] !== undefined || Number(headers['content-length'] ?? 0) > REST_BYTES_MAX;
}
