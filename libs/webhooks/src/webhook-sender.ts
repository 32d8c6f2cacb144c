import { setTimeout as sleep } from 'node:timers/promises';
import { isConnectionLoss } from '#database';
import { Maintenance } from '#jobs';
import { Config } from '#platform';
import { Injectable, Logger, type BeforeApplicationShutdown } from '@nestjs/common';
import { DeliveryStore, type AttemptResult, type ClaimedDelivery } from './delivery.store.js';
import { PublicAddresses } from './public-address.js';
import { sendWebhook, type WebhookOutcome } from './webhook-request.js';
import { WebhookWatch } from './webhook-watch.js';

const EVERY_MS = 1_000;
/** Requests of this process at a time, and those of one project: its receiver may be slow. */
const SENDING_MAX = 16;
const SENDING_PER_PROJECT = 2;
/** The pauses before the second and each further attempt, in seconds: 3 days in all. After the last attempt the delivery has failed. */
const RETRY_SECONDS = [5, 60, 300, 1_800, 7_200, 18_000, 36_000, 86_400, 86_400];

/** Sends events to webhooks, in each process that runs jobs. It holds no database connection while it waits for a receiver. */
@Injectable()
export class WebhookSender implements BeforeApplicationShutdown {
  private readonly log = new Logger('webhooks');
  private readonly addresses: PublicAddresses;
  private readonly stopping = new AbortController();
  private readonly sending = new Map<Promise<void>, number>();
  private running: Promise<void> | undefined;

  constructor(
    private readonly store: DeliveryStore,
    private readonly watch: WebhookWatch,
    maintenance: Maintenance,
    { webhooks: { allowedNetworks } }: Config,
  ) {
    this.addresses = new PublicAddresses(allowedNetworks);
    maintenance.whenStarted(() => {
      this.running ??= this.run();
    });
  }

  /** Requests that are being sent are sent again by another process, or after the next start. */
  async beforeApplicationShutdown(): Promise<void> {
    this.stopping.abort();
    await this.running;
    await Promise.all(this.sending.keys());
  }

  private async run(): Promise<void> {
    const { signal } = this.stopping;
    while (!signal.aborted) {
      await this.attempt(() => this.sendDue());
      await this.attempt(() => this.watch.look());
      await sleep(EVERY_MS, undefined, { signal, ref: false }).catch(() => undefined);
    }
  }

  private async attempt(work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      // The heartbeat logs an outage of the database.
      if (!isConnectionLoss(error)) this.log.warn(`webhooks: ${String(error)}`);
    }
  }

  private async sendDue(): Promise<void> {
    const busy = new Map<number, number>();
    for (const projectId of this.sending.values()) busy.set(projectId, (busy.get(projectId) ?? 0) + 1);
    const room = SENDING_MAX - this.sending.size;
    if (room === 0) return;
    const full = [...busy].filter(([, count]) => count >= SENDING_PER_PROJECT).map(([projectId]) => projectId);
    for (const delivery of await this.store.claim(room, SENDING_PER_PROJECT, full)) {
      const sent = this.send(delivery).finally(() => this.sending.delete(sent));
      this.sending.set(sent, delivery.project_id);
    }
  }

  /** Never fails. */
  private async send(delivery: ClaimedDelivery): Promise<void> {
    const { delivery_id: id, url, secret, body } = delivery;
    try {
      const outcome = await sendWebhook({ id: `msg_${id}`, url, secret, body }, this.addresses, this.stopping.signal);
      if (this.stopping.signal.aborted) return;
      await this.store.finish(delivery, resultOf(outcome, delivery.attempts));
    } catch (error) {
      if (!isConnectionLoss(error)) this.log.warn(`a delivery was not recorded: ${String(error)}`);
    }
  }
}

function resultOf({ status, error }: WebhookOutcome, attempts: number): AttemptResult {
  const isDelivered = status !== null && status >= 200 && status < 300;
  const retryInSeconds = RETRY_SECONDS[attempts - 1];
  const result = { responseStatus: status, error, retryInSeconds: retryInSeconds ?? 0 };
  if (isDelivered) return { ...result, status: 'delivered' };
  return { ...result, status: retryInSeconds === undefined ? 'failed' : 'queued' };
}
