import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { messageText, signedHeaders } from '#events';
import { Logger } from '@nestjs/common';

/** Alerts that wait to be sent. A receiver that is slow or away must not fill the memory. */
const QUEUE_MAX = 1_000;

/** How alerts are sent. Milliseconds. */
export interface WebhookTimes {
  /** Until the headers of the response have arrived. */
  timeoutMs: number;
  /** The pauses before the second and each further attempt. */
  retryAfterMs: readonly number[];
  /** Time for the alerts that wait when the server stops; then they are dropped. */
  stopWithinMs: number;
}

const WEBHOOK_TIMES: WebhookTimes = {
  timeoutMs: 5_000,
  retryAfterMs: [1_000, 5_000, 25_000],
  stopWithinMs: 2_000,
};

/** A receiver rejects an alert with these statuses because of its own state, so another attempt may succeed. */
function isTemporary(status: number): boolean {
  return status >= 500 || status === 429 || status === 408;
}

interface AlertMessage {
  id: string;
  body: string;
}

/**
 * Sends alerts to ALERT_WEBHOOK_URL, one after the other, in the form and with the signature of all webhooks. Redirects are not
 * followed: the secret's owner has named one receiver.
 */
export class AlertWebhook {
  private readonly log = new Logger('alerts');
  private readonly queue: AlertMessage[] = [];
  private readonly stopping = new AbortController();
  private sending: Promise<void> | undefined;
  private isStopping = false;
  /** Alerts that found the queue full, since the last line in the log about them. */
  private dropped = 0;

  constructor(
    private readonly url: string,
    private readonly secret: string,
    private readonly times: WebhookTimes = WEBHOOK_TIMES,
  ) {}

  /** Queues an alert. Failures are logged. */
  send(type: string, data: object): void {
    if (this.queue.length >= QUEUE_MAX) {
      this.dropped++;
      return;
    }
    this.queue.push({ id: `msg_${randomUUID()}`, body: messageText(type, data) });
    this.sending ??= this.sendAll().finally(() => (this.sending = undefined));
  }

  /** Sends what waits, without retries, for a bounded time. */
  async stop(): Promise<void> {
    this.isStopping = true;
    const timer = setTimeout(() => {
      this.stopping.abort();
    }, this.times.stopWithinMs);
    await this.sending;
    clearTimeout(timer);
  }

  private async sendAll(): Promise<void> {
    for (let next = this.queue[0]; next !== undefined; next = this.queue[0]) {
      const failure = this.stopping.signal.aborted ? 'the server stops' : await this.sendWithRetries(next);
      if (failure !== null) this.log.warn(`an alert was not sent to ${new URL(this.url).host}: ${failure}`);
      this.queue.shift();
      if (this.dropped > 0) this.log.warn(`${String(this.dropped)} alerts were not sent: too many waited`);
      this.dropped = 0;
    }
  }

  /** @returns null, or why the alert was not sent */
  private async sendWithRetries(message: AlertMessage): Promise<string | null> {
    for (let attempt = 0; ; attempt++) {
      const { failure, mayRetry } = await this.attempt(message);
      const pauseMs = this.times.retryAfterMs[attempt];
      if (failure === null || !mayRetry || pauseMs === undefined || this.isStopping) return failure;
      await sleep(pauseMs, undefined, { signal: this.stopping.signal, ref: false }).catch(() => undefined);
    }
  }

  private async attempt({ id, body }: AlertMessage): Promise<{ failure: string | null; mayRetry: boolean }> {
    try {
      const response = await fetch(this.url, {
        method: 'POST',
        headers: signedHeaders(id, body, this.secret),
        body,
        redirect: 'manual',
        signal: AbortSignal.any([AbortSignal.timeout(this.times.timeoutMs), this.stopping.signal]),
      });
      await response.body?.cancel();
      const { ok, status } = response;
      return { failure: ok ? null : `status ${String(status)}`, mayRetry: isTemporary(status) };
    } catch (error) {
      // Its cause names the address, but not the path, which may contain a secret.
      const { message, cause } = error as Error & { cause?: Error };
      return { failure: cause?.message ?? message, mayRetry: true };
    }
  }
}
