import { readFileSync } from 'node:fs';
import { createSecureContext } from 'node:tls';
import { StartupError } from './startup-error.js';

/** A certificate, with those of its intermediate authorities, and its key, in PEM. */
export interface TlsFiles {
  cert: string;
  key: string;
}

/**
 * Reads TLS_CERT_FILE and TLS_KEY_FILE.
 * @param current what was read before, which is returned and not parsed again while it has not changed
 * @throws StartupError when one cannot be read, or they do not belong together
 */
export function readTlsFiles(
  { certFile, keyFile }: Readonly<{ certFile: string; keyFile: string }>,
  current?: TlsFiles,
): TlsFiles {
  const files = { cert: read('TLS_CERT_FILE', certFile), key: read('TLS_KEY_FILE', keyFile) };
  if (files.cert === current?.cert && files.key === current.key) return current;
  try {
    createSecureContext(files);
  } catch (cause) {
    const reason = (cause as Error).message;
    throw new StartupError(`TLS_CERT_FILE and TLS_KEY_FILE are not a certificate and its key in PEM: ${reason}`, {
      cause,
    });
  }
  return files;
}

function read(setting: string, path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (cause) {
    throw new StartupError(`${setting} cannot be read: ${(cause as Error).message}`, { cause });
  }
}
