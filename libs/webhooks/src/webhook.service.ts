import { randomBytes } from 'node:crypto';
import { PRECONDITION_RULES } from '#access';
import { AuditLog, type Actor } from '#audit';
import { ChangeStore } from '#changes';
import { Database, isSeq, Sequence, type Queryable } from '#database';
import { EncryptedKeys, type KeyUse } from '#encryption';
import { EventStore, QUEUED_MAX, TEST_EVENT } from '#events';
import { encryptionError } from '#filter';
import { checkPreconditions, etagOfJson, Problem, ValidationErrors, type Preconditions } from '#http';
import { Injectable } from '@nestjs/common';
import { DeliveryReports } from './delivery-reports.js';
import { DeliveryStore } from './delivery.store.js';
import type {
  CreatedWebhookDto,
  CreateWebhookDto,
  DeliveryDto,
  RetriedDeliveriesDto,
  ThresholdDto,
  UpdateWebhookDto,
  WebhookDto,
} from './webhook.dto.js';
import { PublicAddresses } from './public-address.js';
import { WebhookSecrets } from './webhook-secrets.js';
import { WebhookStore, type WebhookContent } from './webhook.store.js';

/** Of a project. Each costs a look at its events every second. */
const WEBHOOKS_MAX = 20;
const SECRET_BYTES = 32;

/** Creates, changes and deletes webhooks. */
@Injectable()
export class WebhookService {
  constructor(
    private readonly store: WebhookStore,
    private readonly deliveries: DeliveryStore,
    private readonly reports: DeliveryReports,
    private readonly secrets: WebhookSecrets,
    private readonly addresses: PublicAddresses,
    private readonly events: EventStore,
    private readonly changes: ChangeStore,
    private readonly encryption: EncryptedKeys,
    private readonly audit: AuditLog,
    private readonly database: Database,
    private readonly sequence: Sequence,
  ) {}

  /** @throws Problem invalid-body; conflict for too many */
  async create(projectId: number, body: CreateWebhookDto, actor: Actor): Promise<CreatedWebhookDto> {
    const { name, url, events, threshold = null, is_enabled: isEnabled = true } = body;
    const content = { name, url, events, threshold, is_enabled: isEnabled };
    this.requireAllowed(url);
    requireThreshold(content);
    const id = this.sequence.next().toString();
    const secret = `whsec_${randomBytes(SECRET_BYTES).toString('base64')}`;
    const position = await this.positionFor(projectId, content);
    return this.database.transaction(async (tx) => {
      await this.requireReadable(tx, projectId, content);
      if ((await this.store.lockAll(tx, projectId)) >= WEBHOOKS_MAX) {
        throw new Problem('conflict', {
          detail: `A project has at most ${String(WEBHOOKS_MAX)} webhooks; delete one first.`,
        });
      }
      await this.store.insert(
        tx,
        projectId,
        id,
        content,
        this.secrets.seal({ projectId, webhookId: id }, secret),
        position,
      );
      await this.audit.append(tx, {
        projectId,
        actor,
        action: 'webhook.create',
        target: targetOf(id),
        details: { name },
      });
      const webhook = await this.store.find(projectId, id, tx);
      if (webhook === null) throw new Error('a webhook that was inserted does not exist');
      return { ...webhook, secret };
    });
  }

  /** @throws Problem not-found */
  async get(projectId: number, id: string, on?: Queryable): Promise<WebhookDto> {
    const webhook = isSeq(id) ? await this.store.find(projectId, id, on) : null;
    return webhook ?? rejectNotFound();
  }

  /** @throws Problem not-found, invalid-body, precondition-failed; conflict where another change of the events was faster */
  async update(
    projectId: number,
    id: string,
    body: UpdateWebhookDto,
    actor: Actor,
    preconditions: Preconditions,
  ): Promise<WebhookDto> {
    const given = Object.fromEntries(Object.entries(body).filter(([, value]) => value !== undefined));
    const merge = (before: WebhookDto): WebhookContent => ({ ...before, ...(given as Partial<WebhookContent>) });
    if (body.url !== undefined) this.requireAllowed(body.url);
    const expected = merge(await this.get(projectId, id));
    requireThreshold(expected);
    // Before the transaction, because it uses a connection of its own.
    const position = await this.positionFor(projectId, expected);
    const { webhook, expired } = await this.database.transaction(async (tx) => {
      if ('threshold' in given) await this.requireReadable(tx, projectId, expected);
      await this.store.lockAll(tx, projectId);
      const before = await this.store.find(projectId, id, tx);
      if (before === null) return rejectNotFound();
      const content = merge(before);
      requireThreshold(content);
      checkPreconditions(preconditions, etagOfJson(before), PRECONDITION_RULES);
      if (wantsBatches(content) && position === null)
        throw new Problem('conflict', { detail: 'The webhook was changed at the same time; repeat the request.' });
      await this.store.update(tx, projectId, id, content, wantsBatches(content) ? position : null);
      const expired = content.is_enabled ? await this.deliveries.resume(tx, projectId, id) : 0;
      if (!content.is_enabled) await this.deliveries.hold(tx, projectId, id);
      const webhook = await this.store.find(projectId, id, tx);
      if (webhook === null) throw new Error('a webhook that is locked does not exist');
      const details = { changed: Object.keys(given) };
      await this.audit.append(tx, { projectId, actor, action: 'webhook.update', target: targetOf(id), details });
      return { webhook, expired };
    });
    this.reports.expired(projectId, id, expired);
    return webhook;
  }

  /** @throws Problem not-found, precondition-failed */
  async delete(projectId: number, id: string, actor: Actor, preconditions: Preconditions): Promise<void> {
    if (!isSeq(id)) rejectNotFound();
    await this.database.transaction(async (tx) => {
      await this.store.lockAll(tx, projectId);
      const webhook = await this.store.find(projectId, id, tx);
      if (webhook === null) return rejectNotFound();
      checkPreconditions(preconditions, etagOfJson(webhook), PRECONDITION_RULES);
      await this.store.delete(tx, projectId, id);
      const details = { name: webhook.name };
      await this.audit.append(tx, { projectId, actor, action: 'webhook.delete', target: targetOf(id), details });
    });
  }

  /** Sends a failed delivery again, from its first attempt. @throws Problem not-found, delivery-not-failed; conflict where too many wait */
  async retry(projectId: number, id: string, deliveryId: string, actor: Actor): Promise<DeliveryDto> {
    await this.get(projectId, id);
    if (!isSeq(deliveryId)) rejectNoDelivery();
    return this.database.transaction(async (tx) => {
      await this.store.lockAll(tx, projectId);
      const isQueued = await this.deliveries.retry(tx, projectId, id, deliveryId);
      const delivery = await this.store.findDelivery(projectId, id, deliveryId, tx);
      if (delivery === null) return rejectNoDelivery();
      if (!isQueued) {
        const detail = 'Only a failed delivery can be retried; this one has not failed.';
        throw new Problem('delivery-not-failed', { detail });
      }
      if ((await this.deliveries.countQueued(tx, projectId, id)) > QUEUED_MAX) return rejectNoRoom();
      const details = { delivery_id: deliveryId, event: delivery.event };
      await this.audit.append(tx, { projectId, actor, action: 'webhook.retry', target: targetOf(id), details });
      return delivery;
    });
  }

  /** Sends the oldest failed deliveries again, as many as may wait. @throws Problem not-found; conflict where none may */
  async retryAll(projectId: number, id: string, actor: Actor): Promise<RetriedDeliveriesDto> {
    return this.database.transaction(async (tx) => {
      await this.store.lockAll(tx, projectId);
      await this.get(projectId, id, tx);
      const room = Math.max(0, QUEUED_MAX - (await this.deliveries.countQueued(tx, projectId, id)));
      const retried = await this.deliveries.retrySome(tx, projectId, id, room);
      const hasMore = await this.deliveries.hasFailed(tx, projectId, id);
      if (retried === 0 && hasMore) return rejectNoRoom();
      const details = { deliveries: retried };
      if (retried > 0)
        await this.audit.append(tx, { projectId, actor, action: 'webhook.retry', target: targetOf(id), details });
      return { retried, has_more: hasMore };
    });
  }

  /**
   * Queues an event for one webhook, also for one that is not enabled.
   * @returns the id of the delivery
   * @throws Problem not-found; conflict where too many wait
   */
  async test(projectId: number, id: string): Promise<string> {
    const { name } = await this.get(projectId, id);
    const event = { type: TEST_EVENT, data: { webhook: name } } as const;
    const deliveryId = await this.events.record(this.database, projectId, event, id);
    if (deliveryId === null)
      throw new Problem('conflict', {
        detail: 'Too many deliveries of this webhook wait; retry when some of them were sent.',
      });
    return deliveryId;
  }

  /** The thresholds that need the values of some keys, also those of webhooks that are not enabled. */
  async findKeyUses(on: Queryable, projectId: number, keys: readonly string[]): Promise<KeyUse[]> {
    const found = await this.store.listThresholds(on, projectId);
    return keys.flatMap((key) => {
      const encrypted = new Set([key]);
      return found
        .filter(({ threshold }) => encryptionError(encrypted, keyOf(threshold)) !== null)
        .map(({ id, name }) => ({ key, by: `the threshold of the webhook "${name}" (${id})` }));
    });
  }

  /** @throws Problem invalid-body for an address inside the network */
  private requireAllowed(url: string): void {
    const detail = this.addresses.refusalOf(url);
    if (detail !== null) throw new ValidationErrors({ pointer: '/url', detail }).problem('invalid-body');
  }

  /** @throws Problem invalid-body for a threshold of encrypted values */
  private async requireReadable(tx: Queryable, projectId: number, { threshold }: WebhookContent): Promise<void> {
    if (threshold === null) return;
    const detail = encryptionError(await this.encryption.lockUnsearchableKeys(tx, projectId), keyOf(threshold));
    if (detail !== null) throw new ValidationErrors({ pointer: '/threshold/key', detail }).problem('invalid-body');
  }

  /** Batches that are stored from now on are sent. */
  private async positionFor(projectId: number, content: WebhookContent): Promise<string | null> {
    return wantsBatches(content) ? this.changes.follow(projectId) : null;
  }
}

function wantsBatches({ events, is_enabled: isEnabled }: WebhookContent): boolean {
  return isEnabled && events.includes('batch.stored');
}

function targetOf(id: string): { type: 'webhook'; id: string } {
  return { type: 'webhook', id };
}

function requireThreshold({ events, threshold }: WebhookContent): void {
  const isWanted = events.includes('threshold.reached');
  if (isWanted !== (threshold !== null)) {
    const detail = isWanted ? 'is required for threshold.reached' : 'is allowed only with the event threshold.reached';
    throw new ValidationErrors({ pointer: '/threshold', detail }).problem('invalid-body');
  }
  if (threshold !== null) requireKey(threshold);
}

function requireKey({ op, key }: ThresholdDto): void {
  if (key === undefined && op !== 'count')
    throw new ValidationErrors({ pointer: '/threshold/key', detail: `is required with op=${op}` }).problem(
      'invalid-body',
    );
}

function keyOf(threshold: ThresholdDto): { key: string | null; isLiteral: boolean } {
  return { key: threshold.key ?? null, isLiteral: true };
}

function rejectNotFound(): never {
  throw new Problem('not-found', { detail: 'Webhook not found.' });
}

function rejectNoDelivery(): never {
  throw new Problem('not-found', { detail: 'Delivery not found.' });
}

function rejectNoRoom(): never {
  const detail = `${String(QUEUED_MAX)} deliveries of this webhook wait already; retry when some of them were sent.`;
  throw new Problem('conflict', { detail });
}
