import { Webhook } from 'standardwebhooks';

/** The body of a message, as Standard Webhooks describes it. */
export function messageText(type: string, data: object): string {
  return JSON.stringify({ type, timestamp: new Date().toISOString(), data });
}

/**
 * The headers of an attempt to send a message, with a signature that the libraries of Standard Webhooks verify.
 * @param secret `whsec_` and a key in base64
 * @throws Error where the secret has another form
 */
export function signedHeaders(id: string, body: string, secret: string): Record<string, string> {
  const now = new Date();
  return {
    'Content-Type': 'application/json',
    'User-Agent': 'Stowage',
    'webhook-id': id,
    'webhook-timestamp': String(Math.floor(now.getTime() / 1_000)),
    'webhook-signature': new Webhook(secret).sign(id, now, body),
  };
}
