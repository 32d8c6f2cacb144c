import { createHmac, hkdfSync, subtle } from 'node:crypto';
import { openBytes, sealBytes } from '#platform';

/** A response that is sent again for the same Idempotency-Key. */
export interface StoredResponse {
  status: number;
  headers: Readonly<Record<string, string>>;
  body: Buffer;
}

/** Where a use of an Idempotency-Key is stored: its hash, and the secret that encrypts the response. */
export interface KeyRecord {
  hash: Buffer;
  secret: Buffer;
}

/**
 * Encrypts stored responses. One may contain an API key, which is stored nowhere else, so the secret is derived from both the
 * installation's secret and the client's Idempotency-Key; neither is in the database.
 */
export class ResponseSealer {
  private readonly root: Buffer;

  constructor(installationSecret: string) {
    this.root = Buffer.from(hkdfSync('sha256', installationSecret, '', 'stowage idempotency', 32));
  }

  /** @param scope everything that distinguishes one use of a key from another, the text of the key included */
  keyRecordOf(scope: unknown): KeyRecord {
    const text = JSON.stringify(scope);
    // The labels are part of stored hashes and never change.
    return { hash: this.digest(`slot ${text}`), secret: this.digest(`answer ${text}`) };
  }

  /** Equal for equivalent requests. The body is hashed outside of the main thread, because it may be large. */
  async fingerprintOf(parts: readonly unknown[], body: Buffer | undefined): Promise<Buffer> {
    const bodyDigest = body === undefined ? '' : Buffer.from(await subtle.digest('SHA-256', body)).toString('hex');
    return this.digest(`request ${JSON.stringify(parts)}\n${bodyDigest}`);
  }

  private digest(text: string): Buffer {
    return createHmac('sha256', this.root).update(text).digest();
  }
}

/** The status is not included; it has a column of its own. */
export function seal({ headers, body }: Omit<StoredResponse, 'status'>, { secret }: KeyRecord): Buffer {
  return sealBytes(secret, [`${JSON.stringify(headers)}\n`, body]);
}

/** @throws Error where it was encrypted with another secret, or was changed */
export function unseal(sealed: Buffer, { secret }: KeyRecord): Omit<StoredResponse, 'status'> {
  const open = openBytes(secret, sealed);
  const end = open.indexOf('\n');
  const headers = JSON.parse(open.toString('utf8', 0, end)) as Record<string, string>;
  return { headers, body: open.subarray(end + 1) };
}
