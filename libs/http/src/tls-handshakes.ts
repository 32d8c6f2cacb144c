import type { Server, Socket } from 'node:net';

/**
 * The connections that have not finished their TLS handshake. Node.js does not count them as connections of HTTP: neither
 * `closeIdleConnections` nor `closeAllConnections` closes them, and `close` waits for them.
 */
export class TlsHandshakes {
  /** By their addresses, because Node.js offers no way from the secured connection to its TCP connection. */
  private readonly sockets = new Map<string, Socket>();

  /** Call it before the server listens. A server of HTTP has no handshakes. */
  constructor(server: Server, isTls: boolean) {
    if (!isTls) return;
    server.on('connection', (socket: Socket) => {
      const key = keyOf(socket);
      this.sockets.set(key, socket);
      socket.once('close', () => {
        if (this.sockets.get(key) === socket) this.sockets.delete(key);
      });
    });
    server.on('secureConnection', (socket: Socket) => this.sockets.delete(keyOf(socket)));
  }

  close(): void {
    for (const socket of this.sockets.values()) socket.destroy();
  }
}

function keyOf({ remoteAddress, remotePort, localAddress }: Socket): string {
  return `${String(remoteAddress)} ${String(remotePort)} ${String(localAddress)}`;
}
