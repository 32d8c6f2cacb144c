import { createCipheriv, createDecipheriv, createHmac, hkdfSync, randomBytes } from 'node:crypto';

const CIPHER = 'aes-256-gcm';
const NONCE_BYTES = 12;
const TAG_BYTES = 16;

/** An answer that is given again. */
export interface KeptAnswer {
  status: number;
  headers: Readonly<Record<string, string>>;
  body: Buffer;
}

/** The place of one Idempotency-Key in the table, and the secret that its answer is sealed with. */
export interface Slot {
  hash: Buffer;
  secret: Buffer;
}

/**
 * Hides what is kept. An answer may hold an API key, which is stored nowhere else: it is encrypted with a secret that takes
 * both the installation's secret and the client's Idempotency-Key to make, and neither is in the database.
 */
export class Sealer {
  private readonly root: Buffer;

  constructor(installationSecret: string) {
    this.root = Buffer.from(hkdfSync('sha256', installationSecret, '', 'stowage idempotency', 32));
  }

  /** @param scope everything that tells one use of a key from another, the text of the key itself included */
  slotOf(scope: unknown): Slot {
    const text = JSON.stringify(scope);
    return { hash: this.digest(`slot ${text}`), secret: this.digest(`answer ${text}`) };
  }

  /** Equal for requests that mean the same. */
  fingerprintOf(meaning: unknown, body: Buffer | undefined): Buffer {
    return this.digest(`request ${JSON.stringify(meaning)}`, body);
  }

  private digest(text: string, bytes?: Buffer): Buffer {
    const hmac = createHmac('sha256', this.root).update(text);
    return (bytes === undefined ? hmac : hmac.update('\n').update(bytes)).digest();
  }
}

/** The status is not part of it: a column of its own tells it. */
export function seal({ headers, body }: Omit<KeptAnswer, 'status'>, { secret }: Slot): Buffer {
  const nonce = randomBytes(NONCE_BYTES);
  const cipher = createCipheriv(CIPHER, secret, nonce);
  const hidden = [cipher.update(`${JSON.stringify(headers)}\n`), cipher.update(body), cipher.final()];
  return Buffer.concat([nonce, cipher.getAuthTag(), ...hidden]);
}

/** @throws Error when it was sealed with another secret, or changed since */
export function unseal(sealed: Buffer, { secret }: Slot): Omit<KeptAnswer, 'status'> {
  const nonce = sealed.subarray(0, NONCE_BYTES);
  const decipher = createDecipheriv(CIPHER, secret, nonce, { authTagLength: TAG_BYTES });
  decipher.setAuthTag(sealed.subarray(NONCE_BYTES, NONCE_BYTES + TAG_BYTES));
  const open = Buffer.concat([decipher.update(sealed.subarray(NONCE_BYTES + TAG_BYTES)), decipher.final()]);
  const end = open.indexOf('\n');
  const headers = JSON.parse(open.toString('utf8', 0, end)) as Record<string, string>;
  return { headers, body: open.subarray(end + 1) };
}
