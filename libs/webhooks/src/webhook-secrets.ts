import { hkdfSync } from 'node:crypto';
import { KeySecret } from '#access';
import { openBytes, sealBytes } from '#platform';
import { Injectable } from '@nestjs/common';

/** A stored secret: the id of the key secret, then the encrypted secret in base64url. */
const STORED = /^sealed:([0-9a-f]{16}):([\w-]+)$/;

/** The secret of a webhook was encrypted with a key secret that this server does not have. */
export class SecretUnreadableError extends Error {
  override name = 'SecretUnreadableError';
}

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
    const [, id = '', sealed = ''] = STORED.exec(stored) ?? [];
    const key = this.keys.get(id);
    try {
      if (key !== undefined) return openBytes(key, Buffer.from(sealed, 'base64url'), textOf(place)).toString();
    } catch {
      // It was changed, or is that of another webhook.
    }
    throw new SecretUnreadableError('the secret of the webhook was encrypted with another STOWAGE_KEY_SECRET');
  }

  /** Patterns of LIKE for secrets that were encrypted with a previous key secret. */
  get previousPatterns(): string[] {
    return [...this.keys.keys()].filter((id) => id !== this.currentId).map((id) => `sealed:${id}:%`);
  }
}

function textOf({ projectId, webhookId }: SecretPlace): string {
  return JSON.stringify([projectId, webhookId]);
}
