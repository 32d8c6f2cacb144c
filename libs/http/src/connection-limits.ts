import cluster from 'node:cluster';
import type { Server, Socket } from 'node:net';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import type { Config } from '#platform';

/** The times after which connections are closed, in milliseconds. */
export interface ConnectionTimes {
  /** Until the headers of a request have arrived: from the connection, and later from the first byte of a request. */
  headersMs: number;
  /** Idle between requests, before any request with a valid key. */
  keepAliveMs: number;
  /**
   * Without a byte in either direction during a request without a key, such as one whose response is not read. Longer than the
   * 20 s that the look-up of a key may wait for the database.
   */
  inactiveMs: number;
  /** Idle between requests, after a request with a valid key. Longer than a load balancer keeps its connections, often 60 s. */
  keyKeepAliveMs: number;
}

export const CONNECTION_TIMES: ConnectionTimes = {
  headersMs: 10_000,
  keepAliveMs: 5_000,
  inactiveMs: 30_000,
  keyKeepAliveMs: 72_000,
};

/**
 * Bounds the connections of the process, and lifts the short times of a connection that has sent a valid key, or that comes
 * from a trusted proxy, which has clients of all kinds. Call it after the hook that authenticates requests.
 */
export function limitConnections(
  fastify: FastifyInstance,
  { http: { maxConnections, tls, trustedProxies } }: Config,
  { keyKeepAliveMs }: ConnectionTimes,
): void {
  if (cluster.isWorker) closeFurther(fastify.server, maxConnections);
  else fastify.server.maxConnections = maxConnections;
  // Node.js keeps an address that was read once. Without it, a client that has left has none in the audit log and in alerts.
  const opened = tls === null ? 'connection' : 'secureConnection';
  fastify.server.on(opened, ({ remoteAddress }: Socket) => remoteAddress);
  /** The requests in progress of connections that have sent a valid key. */
  const requestCounts = new WeakMap<Socket, number>();
  /** Those among them; others were rejected after the check of the key. */
  const counted = new WeakSet<FastifyRequest>();
  const hasKey = (request: FastifyRequest): boolean =>
    request.principal !== undefined || (trustedProxies.length > 0 && request.ip !== request.socket.remoteAddress);
  fastify.addHook('onRequest', (request, _reply, done) => {
    if (hasKey(request)) {
      const { socket } = request.raw;
      requestCounts.set(socket, (requestCounts.get(socket) ?? 0) + 1);
      counted.add(request);
      // The body and the response have limits of their own.
      socket.setTimeout(0);
    }
    done();
  });
  // Node.js has set its keep-alive timeout before.
  fastify.addHook('onResponse', (request, _reply, done) => {
    const { socket } = request.raw;
    let count = requestCounts.get(socket);
    if (count !== undefined) {
      if (counted.has(request)) requestCounts.set(socket, --count);
      // Further requests of a client that does not wait for responses are in progress already.
      if (count === 0) socket.setTimeout(keyKeepAliveMs);
    }
    done();
  });
}

/**
 * Closes connections above the limit in one of several processes. There `maxConnections` would give them back to the parent process,
 * which offers them to the processes in turn, without a pause while all are full.
 */
function closeFurther(server: Server, maxConnections: number): void {
  let count = 0;
  server.on('connection', (socket: Socket) => {
    count++;
    socket.once('close', () => count--);
    if (count > maxConnections) socket.destroy();
  });
}
