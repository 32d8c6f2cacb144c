import { hkdfSync } from 'node:crypto';
import { KeySecret } from '#access';
import { openBytes, sealBytes } from '#platform';
import { Injectable } from '@nestjs/common';

/** A stored secret: the id of the key secret, then the encrypted secret in base64url. */
const STORED = /^sealed:([0-9a-f]{16}):([\w-]+)$/;
/** A secret that a version before the encryption of secrets has stored. */
const PLAIN = /^whsec_[\w+/-]+=*$/;
const PLAIN_PATTERN = String.raw`whsec\_%`;

/** The secret of a webhook was encrypted with a key secret that this server does not have, or was damaged. */
export class SecretUnreadableError extends Error {
  override name = 'SecretUnreadableError';
}

const DAMAGED = 'the secret of the webhook cannot be decrypted: it is damaged, or that of another webhook';

/** The webhook that a secret belongs to. */
export interface SecretPlace {
  projectId: number;
  webhookId: string;
}

/** Encrypts the secrets of webhooks with keys that are derived from the key secret, so that the database does not reveal them. */
@Injectable()
export class WebhookSecrets {
  private readonly currentId: string;
  /** By the id of the key secret: the current one, then the previous ones. */
  private readonly keys: ReadonlyMap<string, Buffer>;

  constructor({ value, accepted }: KeySecret) {
    this.currentId = KeySecret.idOf(value);
    this.keys = new Map(
      accepted.map((secret) => [
        KeySecret.idOf(secret),
        Buffer.from(hkdfSync('sha256', secret, '', 'stowage webhook secrets', 32)),
      ]),
    );
  }

  seal(place: SecretPlace, secret: string): string {
    const key = this.keys.get(this.currentId);
    if (key === undefined) throw new Error('the current key secret is not among those that are accepted');
    return `sealed:${this.currentId}:${sealBytes(key, [secret], textOf(place)).toString('base64url')}`;
  }

  /** @throws SecretUnreadableError */
  open(place: SecretPlace, stored: string): string {
    if (PLAIN.test(stored)) return stored;
    const [, id, sealed = ''] = STORED.exec(stored) ?? [];
    if (id === undefined) throw new SecretUnreadableError(DAMAGED);
    const key = this.keys.get(id);
    if (key === undefined)
      throw new SecretUnreadableError('the secret of the webhook was encrypted with another STOWAGE_KEY_SECRET');
    try {
      return openBytes(key, Buffer.from(sealed, 'base64url'), textOf(place)).toString();
    } catch {
      throw new SecretUnreadableError(DAMAGED);
    }
  }

  /** Patterns of LIKE for secrets that are not encrypted with the current key secret. */
  get outdatedPatterns(): string[] {
    const previous = [...this.keys.keys()].filter((id) => id !== this.currentId);
    return [PLAIN_PATTERN, ...previous.map((id) => `sealed:${id}:%`)];
  }
}

function textOf({ projectId, webhookId }: SecretPlace): string {
  return JSON.stringify([projectId, webhookId]);
}
