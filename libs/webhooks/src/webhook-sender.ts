import { setTimeout as sleep } from 'node:timers/promises';
import { isConnectionLoss } from '#database';
import { Maintenance } from '#jobs';
import { describeError } from '#platform';
import { Injectable, Logger, type BeforeApplicationShutdown } from '@nestjs/common';
import { BatchWatch } from './batch-watch.js';
import { DeliveryReports } from './delivery-reports.js';
import { DeliverySlots, type DeliverySlot } from './delivery-slots.js';
import { DeliveryStore, type AttemptResult, type ClaimedDelivery } from './delivery.store.js';
import { PublicAddresses } from './public-address.js';
import { ThresholdWatch } from './threshold-watch.js';
import { SecretUnreadableError, WebhookSecrets } from './webhook-secrets.js';
import { sendWebhook, type WebhookOutcome } from './webhook-request.js';

const LOOK_EVERY_MS = 1_000;
const THRESHOLDS_EVERY_MS = 30_000;
/** While projects wait for a slot. */
const LOOK_AGAIN_MS = 100;
/** A slot sends deliveries of its project for this long, and longer while nobody else wants it. */
const TURN_MS = 2_000;
/** The pauses before the second and each further attempt, in seconds: 3 days in all. After the last attempt the delivery has failed. */
const RETRY_SECONDS = [5, 60, 300, 1_800, 7_200, 18_000, 36_000, 86_400, 86_400];

/** Sends events to webhooks, in each process that runs jobs. It holds no database connection while it waits for a receiver. */
@Injectable()
export class WebhookSender implements BeforeApplicationShutdown {
  private readonly log = new Logger('webhooks');
  private readonly slots = new DeliverySlots();
  private readonly stopping = new AbortController();
  private readonly turns = new Set<Promise<void>>();
  private loops: Promise<unknown> | undefined;

  constructor(
    private readonly store: DeliveryStore,
    private readonly reports: DeliveryReports,
    private readonly secrets: WebhookSecrets,
    private readonly addresses: PublicAddresses,
    batches: BatchWatch,
    thresholds: ThresholdWatch,
    maintenance: Maintenance,
  ) {
    const { signal } = this.stopping;
    // Each has a loop of its own: many batches, or a slow aggregate, must not delay what is queued.
    maintenance.whenStarted(() => {
      this.loops ??= Promise.all([
        this.repeat(() => this.sendDue()),
        this.repeat(() => this.lookForBatches(batches)),
        this.repeat(() => thresholds.look(signal).then(() => THRESHOLDS_EVERY_MS)),
      ]);
    });
  }

  /** Requests that are being sent are sent again by another process, or after the next start. */
  async beforeApplicationShutdown(): Promise<void> {
    this.stopping.abort();
    await this.loops;
    await Promise.all(this.turns);
  }

  /** @param work returns the milliseconds until it runs again */
  private async repeat(work: () => Promise<number>): Promise<void> {
    const { signal } = this.stopping;
    while (!signal.aborted) {
      const pauseMs = (await this.attempt(work)) ?? LOOK_EVERY_MS;
      await sleep(pauseMs, undefined, { signal, ref: false }).catch(() => undefined);
    }
  }

  /** @returns undefined where it failed */
  private async attempt<T>(work: () => Promise<T>): Promise<T | undefined> {
    try {
      return await work();
    } catch (error) {
      // The heartbeat logs an outage of the database.
      if (!isConnectionLoss(error)) this.log.warn(`webhooks: ${describeError(error)}`);
      return undefined;
    }
  }

  /** What is queued is sent at once: the pauses of both loops together would delay it for two seconds. */
  private async lookForBatches(batches: BatchWatch): Promise<number> {
    if (await batches.look(this.stopping.signal)) await this.sendDue();
    return LOOK_EVERY_MS;
  }

  private async sendDue(): Promise<number> {
    let isFull = false;
    for (const projectId of await this.store.listDue(this.slots.fullProjects())) {
      const slot = this.slots.take(projectId);
      isFull ||= slot === null;
      if (slot === null) continue;
      const turn = this.attempt(() => this.sendOf(slot)).then(() => {
        this.slots.release(slot);
        this.turns.delete(turn);
      });
      this.turns.add(turn);
    }
    return isFull ? LOOK_AGAIN_MS : LOOK_EVERY_MS;
  }

  private async sendOf(slot: DeliverySlot): Promise<void> {
    const until = performance.now() + TURN_MS;
    while (!this.stopping.signal.aborted && (performance.now() < until || !this.slots.isWanted(slot))) {
      const delivery = await this.store.claim(slot, this.slots);
      if (delivery === null) return;
      await this.send(slot, delivery);
    }
  }

  private async send(slot: DeliverySlot, delivery: ClaimedDelivery): Promise<void> {
    const outcome = await this.request(delivery);
    this.slots.end(slot);
    if (this.stopping.signal.aborted && outcome.status === null) return;
    const result = resultOf(outcome, delivery.attempts);
    if (await this.store.finish(delivery, result)) this.reports.attempted(delivery, result);
  }

  /** Never fails, so that every attempt gets its result. */
  private async request(delivery: ClaimedDelivery): Promise<WebhookOutcome> {
    const { project_id: projectId, webhook_id: webhookId, delivery_id: id, url, body } = delivery;
    try {
      const secret = this.secrets.open({ projectId, webhookId }, delivery.secret);
      return await sendWebhook({ id: `msg_${id}`, url, secret, body }, this.addresses, this.stopping.signal);
    } catch (error) {
      this.log.warn(`delivery ${id} of a webhook was not sent: ${describeError(error)}`);
      const reason = error instanceof SecretUnreadableError ? error.message : 'the request could not be made';
      return { status: null, error: reason };
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
