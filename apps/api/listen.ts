import { once } from 'node:events';
import { createServer, type AddressInfo } from 'node:net';
import { StartupError, type Config } from '#platform';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';

type Address = Pick<Config['http'], 'host' | 'port'>;
type Endpoint = Pick<Config['http'], 'host' | 'port' | 'tls'>;

/**
 * Listens on the address for a moment, so that a start that cannot succeed ends before it creates a database.
 * @returns the port, that of a free one where it is 0
 * @throws StartupError when the address cannot be used
 */
export async function checkAddress({ host, port }: Address): Promise<number> {
  const server = createServer();
  try {
    server.listen({ host: addressOf(host), port, exclusive: true });
    await once(server, 'listening');
  } catch (cause) {
    throw addressError({ host, port }, cause);
  }
  const { port: listened } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return listened;
}

/** @returns the origin of the server's URLs @throws StartupError when the address cannot be used */
export async function listen(app: NestFastifyApplication, { host, port, tls }: Endpoint): Promise<string> {
  const { log } = app.getHttpAdapter().getInstance();
  const { level } = log;
  // Fastify logs a line with the address, in the middle of the text that the start prints with the same address.
  log.level = 'silent';
  try {
    await app.listen(port, addressOf(host));
  } catch (cause) {
    throw addressError({ host, port }, cause);
  } finally {
    log.level = level;
  }
  const url = (await app.getUrl()).replace('[::1]', 'localhost');
  // Nest does not know the options of the adapter.
  return tls === null ? url : url.replace(/^http:/, 'https:');
}

/** For `localhost`, Fastify would open a second server on `::1`, without the limits of connections and new certificates. */
function addressOf(host: string): string {
  return host === 'localhost' ? '127.0.0.1' : host;
}

/** The error with advice for the user; any other error unchanged. */
function addressError({ host, port }: Address, cause: unknown): unknown {
  switch ((cause as NodeJS.ErrnoException).code) {
    case 'EADDRINUSE':
      return new StartupError(`PORT ${String(port)} on ${host} is in use; set PORT to another port`, { cause });
    case 'EACCES':
      return new StartupError(`this user may not listen on PORT ${String(port)}; set PORT to a port above 1023`, {
        cause,
      });
    case 'EADDRNOTAVAIL':
    case 'ENOTFOUND':
      return new StartupError(`HOST ${host} is not an address of this machine; set HOST to one, or to 0.0.0.0`, {
        cause,
      });
    default:
      return cause;
  }
}
