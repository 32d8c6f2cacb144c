import { setMaxListeners } from 'node:events';
import { request as httpRequest } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { signedHeaders } from '#events';
import { NameLookupError } from './name-lookup.js';
import { AddressNotAllowedError, type PublicAddresses } from './public-address.js';

/** From the look-up of the name to the headers of the response. */
const TIMEOUT_MS = 10_000;

/** What the codes of errors of connections mean; the first pattern that matches. */
const REASONS: readonly (readonly [RegExp, string])[] = [
  [/^ECONNREFUSED$/, 'the receiver refuses connections'],
  [/^(ECONNRESET|EPIPE)$/, 'the receiver closed the connection'],
  [/^ETIMEDOUT$/, 'the receiver did not accept a connection in time'],
  [/^CERT_HAS_EXPIRED$/, 'the certificate of the receiver has expired'],
  [/^(ERR_TLS_CERT_ALTNAME_INVALID|HOSTNAME_MISMATCH)$/, 'the certificate of the receiver is for another name'],
  [/CERT|LEAF_SIGNATURE|INVALID_CA/, 'the certificate of the receiver is not trusted'],
  [/^(EPROTO|ERR_SSL_|ERR_TLS_)/, 'the TLS handshake with the receiver failed'],
  [/^HPE_/, 'the response of the receiver is not HTTP'],
  [/^(EHOSTUNREACH|ENETUNREACH)$/, 'the network of the receiver cannot be reached'],
];

export interface WebhookMessage {
  id: string;
  url: string;
  secret: string;
  body: string;
}

/** The status of a response; or why there was none. */
export type WebhookOutcome = { status: number; error: null } | { status: null; error: string };

/**
 * Sends a message, signed as Standard Webhooks describes. Redirects are not followed, the body of the response is not read, and no
 * connection is used twice, so that each is to an address that was checked.
 */
export function sendWebhook(
  { id, url, secret, body }: WebhookMessage,
  addresses: PublicAddresses,
  stopping: AbortSignal,
  timeoutMs = TIMEOUT_MS,
): Promise<WebhookOutcome> {
  const target = new URL(url);
  // No name is looked up for an address.
  const refusal = addresses.refusalOf(url);
  if (refusal !== null) return Promise.resolve({ status: null, error: refusal });
  const send = target.protocol === 'https:' ? httpsRequest : httpRequest;
  return new Promise((resolve) => {
    const request = send(target, {
      method: 'POST',
      agent: false,
      lookup: addresses.lookup,
      headers: { ...signedHeaders(id, body, secret), 'Content-Length': Buffer.byteLength(body) },
    });
    const end = (outcome: WebhookOutcome): void => {
      clearTimeout(timer);
      stopping.removeEventListener('abort', giveUp);
      resolve(outcome);
      request.destroy();
    };
    const giveUp = (): void => {
      end({ status: null, error: `no response within ${String(timeoutMs / 1_000)} seconds` });
    };
    // The end does not depend on an event of the request: whatever a receiver does, it holds its slot no longer than this.
    const timer = setTimeout(giveUp, timeoutMs);
    // One for each request, and a process sends many at a time.
    setMaxListeners(0, stopping);
    stopping.addEventListener('abort', giveUp);
    if (stopping.aborted) giveUp();
    request.once('response', (response) => {
      response.on('error', () => undefined);
      end({ status: response.statusCode ?? 0, error: null });
    });
    // Status 101. Without a listener Node closes the connection, and emits neither a response nor an error.
    request.once('upgrade', ({ statusCode = 101 }, socket) => {
      socket.on('error', () => undefined).destroy();
      end({ status: statusCode, error: null });
    });
    request.on('error', (error) => {
      end({ status: null, error: reasonOf(error) });
    });
    request.once('close', () => {
      end({ status: null, error: 'the receiver closed the connection' });
    });
    request.end(body);
  });
}

/** Without addresses: a name must not reveal what it leads to inside the network. Codes are for those who look further. */
function reasonOf(error: Error & { code?: string }): string {
  if (error instanceof AddressNotAllowedError || error instanceof NameLookupError) return error.message;
  const { code } = error;
  if (code === undefined) return 'the connection to the receiver failed';
  const [, reason = 'the connection to the receiver failed'] = REASONS.find(([pattern]) => pattern.test(code)) ?? [];
  return `${reason} (${code})`;
}
