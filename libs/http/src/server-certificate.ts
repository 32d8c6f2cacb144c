import type { Server, TlsOptions } from 'node:tls';
import { readTlsFiles, type Config, type TlsFiles } from '#platform';
import type { Logger } from 'pino';

/** How often the files are read. Their content is compared: tools replace files, links or whole folders. */
const READ_EVERY_MS = 2_000;

type Paths = NonNullable<Config['http']['tls']>;

/** The certificate of the server, which is replaced without a restart when its files change. */
export class ServerCertificate {
  private current: TlsFiles;
  /** Why the files cannot be used now; null while they can. */
  private problem: string | null = null;

  /** @throws StartupError */
  constructor(private readonly paths: Paths) {
    this.current = readTlsFiles(paths);
  }

  get options(): TlsOptions {
    return { ...this.current, minVersion: 'TLSv1.2' };
  }

  /** Uses the files for new connections whenever they change, until the server closes. */
  follow(server: Server, log: Pick<Logger, 'info' | 'warn'>): void {
    const timer = setInterval(() => {
      this.reload(server, log);
    }, READ_EVERY_MS).unref();
    server.once('close', () => {
      clearInterval(timer);
    });
  }

  private reload(server: Server, log: Pick<Logger, 'info' | 'warn'>): void {
    try {
      const files = readTlsFiles(this.paths, this.current);
      this.problem = null;
      if (files === this.current) return;
      this.current = files;
      server.setSecureContext(this.options);
      log.info('the certificate was replaced');
    } catch (error) {
      const { message } = error as Error;
      // Once for each reason. A read between the writes of the two files succeeds the next time.
      if (message !== this.problem) log.warn(`${message}; the former certificate stays in use`);
      this.problem = message;
    }
  }
}
