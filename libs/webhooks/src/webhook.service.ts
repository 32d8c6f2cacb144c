import { randomBytes } from 'node:crypto';
import { AuditLog, type Actor } from '#audit';
import { ChangeStore } from '#changes';
import { Database, isSeq, Sequence } from '#database';
import { EventStore, TEST_EVENT } from '#events';
import { Problem, ValidationErrors } from '#http';
import { Injectable } from '@nestjs/common';
import type { CreatedWebhookDto, CreateWebhookDto, ThresholdDto, UpdateWebhookDto, WebhookDto } from './webhook.dto.js';
import { WebhookStore, type WebhookContent } from './webhook.store.js';

/** Of a project. Each costs a look at its events every second. */
const WEBHOOKS_MAX = 20;
const SECRET_BYTES = 32;

/** Creates, changes and deletes webhooks. */
@Injectable()
export class WebhookService {
  constructor(
    private readonly store: WebhookStore,
    private readonly events: EventStore,
    private readonly changes: ChangeStore,
    private readonly audit: AuditLog,
    private readonly database: Database,
    private readonly sequence: Sequence,
  ) {}

  /** @throws Problem invalid-body; conflict for too many */
  async create(projectId: number, body: CreateWebhookDto, actor: Actor): Promise<CreatedWebhookDto> {
    const { name, url, events, threshold = null, is_enabled: isEnabled = true } = body;
    const content = { name, url, events, threshold, is_enabled: isEnabled };
    requireThreshold(content);
    const id = this.sequence.next().toString();
    const secret = `whsec_${randomBytes(SECRET_BYTES).toString('base64')}`;
    const position = await this.positionFor(projectId, content);
    return this.database.transaction(async (tx) => {
      if ((await this.store.lockAll(tx, projectId)) >= WEBHOOKS_MAX) {
        throw new Problem('conflict', {
          detail: `A project has at most ${String(WEBHOOKS_MAX)} webhooks; delete one first.`,
        });
      }
      await this.store.insert(tx, projectId, id, content, secret, position);
      await this.audit.append(tx, {
        projectId,
        actor,
        action: 'webhook.create',
        target: { type: 'webhook', id },
        details: { name },
      });
      const webhook = await this.store.find(projectId, id, tx);
      if (webhook === null) throw new Error('a webhook that was inserted does not exist');
      return { ...webhook, secret };
    });
  }

  /** @throws Problem not-found */
  async get(projectId: number, id: string): Promise<WebhookDto> {
    const webhook = isSeq(id) ? await this.store.find(projectId, id) : null;
    return webhook ?? rejectNotFound();
  }

  /** @throws Problem not-found, invalid-body */
  async update(projectId: number, id: string, body: UpdateWebhookDto, actor: Actor): Promise<WebhookDto> {
    const before = await this.get(projectId, id);
    const given = Object.fromEntries(Object.entries(body).filter(([, value]) => value !== undefined));
    const content: WebhookContent = { ...before, ...(given as Partial<WebhookContent>) };
    requireThreshold(content);
    const position = await this.positionFor(projectId, content);
    return this.database.transaction(async (tx) => {
      await this.store.lockAll(tx, projectId);
      await this.store.update(tx, projectId, id, content, position);
      const webhook = await this.store.find(projectId, id, tx);
      if (webhook === null) return rejectNotFound();
      const details = { changed: Object.keys(given) };
      await this.audit.append(tx, {
        projectId,
        actor,
        action: 'webhook.update',
        target: { type: 'webhook', id },
        details,
      });
      return webhook;
    });
  }

  /** @throws Problem not-found */
  async delete(projectId: number, id: string, actor: Actor): Promise<void> {
    if (!isSeq(id)) rejectNotFound();
    await this.database.transaction(async (tx) => {
      const name = await this.store.delete(tx, projectId, id);
      if (name === null) return rejectNotFound();
      await this.audit.append(tx, {
        projectId,
        actor,
        action: 'webhook.delete',
        target: { type: 'webhook', id },
        details: { name },
      });
    });
  }

  /** Queues an event for one webhook, also for one that is not enabled. @returns the id of the delivery @throws Problem not-found */
  async test(projectId: number, id: string): Promise<string> {
    const { name } = await this.get(projectId, id);
    return this.events.record(this.database, projectId, { type: TEST_EVENT, data: { webhook: name } }, id);
  }

  /** Batches that are stored from now on are sent. */
  private async positionFor(
    projectId: number,
    { events, is_enabled: isEnabled }: WebhookContent,
  ): Promise<string | null> {
    return isEnabled && events.includes('batch.stored') ? this.changes.follow(projectId) : null;
  }
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

function rejectNotFound(): never {
  throw new Problem('not-found', { detail: 'Webhook not found.' });
}
