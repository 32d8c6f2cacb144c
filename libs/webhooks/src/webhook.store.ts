import { Database, readPage, timeOfSeq, type Count, type ListSql, type Queryable, type Slice } from '#database';
import type { EventName } from '#events';
import type { PageRequest } from '#http';
import { Config } from '#platform';
import { Injectable } from '@nestjs/common';
import type { DeliveryDto, DeliveryStatus, ThresholdDto, WebhookDto } from './webhook.dto.js';

const COLUMNS = 'webhook_id, name, url, events, threshold, is_enabled';

const INSERT = `
  INSERT INTO webhooks (project_id, webhook_id, name, url, events, threshold, is_enabled, secret, change_position)
  VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)`;

const LOCK_ALL = `SELECT webhook_id FROM webhooks WHERE project_id = $1 ORDER BY webhook_id FOR UPDATE`;

const GET = `SELECT ${COLUMNS} FROM webhooks WHERE project_id = $1 AND webhook_id = $2`;

const LIST_THRESHOLDS = `
  SELECT webhook_id, name, threshold FROM webhooks WHERE project_id = $1 AND threshold IS NOT NULL ORDER BY webhook_id`;

const UPDATE = `
  UPDATE webhooks SET name = $3, url = $4, events = $5, threshold = $6, is_enabled = $7,
    change_position = CASE WHEN $8::bigint IS NULL THEN NULL ELSE coalesce(change_position, $8::bigint) END,
    fired_bucket = CASE WHEN threshold IS DISTINCT FROM $6 THEN NULL ELSE fired_bucket END
  WHERE project_id = $1 AND webhook_id = $2`;

const DELETE = `
  WITH deliveries AS (DELETE FROM webhook_deliveries WHERE project_id = $1 AND webhook_id = $2)
  DELETE FROM webhooks WHERE project_id = $1 AND webhook_id = $2`;

/** A delivery that is held is never due. */
const DELIVERY_COLUMNS = `
  delivery_id AS seq, event, status, attempts, response_status, error, finished_at,
  CASE WHEN status = 'queued' AND due_at < 'infinity' THEN due_at END AS due_at`;

const GET_DELIVERY = `
  SELECT ${DELIVERY_COLUMNS} FROM webhook_deliveries WHERE project_id = $1 AND webhook_id = $2 AND delivery_id = $3`;

interface WebhookRow {
  webhook_id: string;
  name: string;
  url: string;
  events: EventName[];
  threshold: string | null;
  is_enabled: boolean;
}

type DeliveryRow = Omit<DeliveryDto, 'delivery_id' | 'created_at'> & { seq: string };

/** The parts of a webhook that a client sets. */
export type WebhookContent = Pick<WebhookDto, 'name' | 'url' | 'events' | 'threshold' | 'is_enabled'>;

/** The tables of webhooks, for their routes. */
@Injectable()
export class WebhookStore {
  constructor(
    private readonly database: Database,
    private readonly config: Config,
  ) {}

  /** @param changePosition see migration 019 */
  async insert(
    tx: Queryable,
    projectId: number,
    id: string,
    content: WebhookContent,
    secret: string,
    changePosition: string | null,
  ): Promise<void> {
    await tx.query(INSERT, [projectId, id, ...valuesOf(content), secret, changePosition]);
  }

  /** Locks the webhooks of a project. @returns their number */
  async lockAll(tx: Queryable, projectId: number): Promise<number> {
    return (await tx.query(LOCK_ALL, [projectId])).length;
  }

  async find(projectId: number, id: string, on: Queryable = this.database): Promise<WebhookDto | null> {
    const [row] = await on.query<WebhookRow>(GET, [projectId, id]);
    return row === undefined ? null : toDto(row);
  }

  async listThresholds(
    on: Queryable,
    projectId: number,
  ): Promise<{ id: string; name: string; threshold: ThresholdDto }[]> {
    const rows = await on.query<{ webhook_id: string; name: string; threshold: string }>(LIST_THRESHOLDS, [projectId]);
    return rows.map(({ webhook_id: id, name, threshold }) => ({
      id,
      name,
      threshold: JSON.parse(threshold) as ThresholdDto,
    }));
  }

  /** @param changePosition where to begin if stored batches were not wanted before; null where they are not wanted */
  async update(
    tx: Queryable,
    projectId: number,
    id: string,
    content: WebhookContent,
    changePosition: string | null,
  ): Promise<void> {
    await tx.query(UPDATE, [projectId, id, ...valuesOf(content), changePosition]);
  }

  /** Deletes a webhook that is locked, with its deliveries. */
  async delete(tx: Queryable, projectId: number, id: string): Promise<void> {
    await tx.query(DELETE, [projectId, id]);
  }

  async list(
    projectId: number,
    page: PageRequest,
  ): Promise<{ slice: Slice<WebhookDto & { seq: string }>; count: Count }> {
    const list: ListSql = {
      select: `${COLUMNS}, webhook_id AS seq`,
      from: 'webhooks',
      where: 'project_id = $1',
      seq: 'webhook_id',
      values: [projectId],
    };
    const { slice, count } = await readPage<WebhookRow & { seq: string }>(
      this.database,
      list,
      page,
      this.config.limits.countCap,
    );
    return { slice: { ...slice, items: slice.items.map((row) => ({ seq: row.seq, ...toDto(row) })) }, count };
  }

  async findDelivery(projectId: number, webhookId: string, id: string, on: Queryable): Promise<DeliveryDto | null> {
    const [row] = await on.query<DeliveryRow>(GET_DELIVERY, [projectId, webhookId, id]);
    return row === undefined ? null : toDeliveryDto(row);
  }

  /** @param status null for all */
  async listDeliveries(
    projectId: number,
    id: string,
    status: DeliveryStatus | null,
    page: PageRequest,
  ): Promise<{ slice: Slice<DeliveryDto & { seq: string }>; count: Count }> {
    const ofStatus = status === null ? '' : ' AND status = $3';
    const list: ListSql = {
      select: DELIVERY_COLUMNS,
      from: 'webhook_deliveries',
      where: `project_id = $1 AND webhook_id = $2::bigint${ofStatus}`,
      seq: 'delivery_id',
      values: [projectId, id, ...(status === null ? [] : [status])],
    };
    const { slice, count } = await readPage<DeliveryRow>(this.database, list, page, this.config.limits.countCap);
    return { slice: { ...slice, items: slice.items.map((row) => ({ seq: row.seq, ...toDeliveryDto(row) })) }, count };
  }
}

function valuesOf({ name, url, events, threshold, is_enabled: isEnabled }: WebhookContent): unknown[] {
  return [name, url, events, threshold === null ? null : JSON.stringify(threshold), isEnabled];
}

function toDto({ webhook_id: id, name, url, events, threshold, is_enabled: isEnabled }: WebhookRow): WebhookDto {
  const parsed = threshold === null ? null : (JSON.parse(threshold) as ThresholdDto);
  return { webhook_id: id, name, url, events, threshold: parsed, is_enabled: isEnabled, created_at: timeOfSeq(id) };
}

function toDeliveryDto({ seq, ...row }: DeliveryRow): DeliveryDto {
  return { delivery_id: seq, ...row, created_at: timeOfSeq(seq) };
}
