import { Telemetry } from '#telemetry';
import { Injectable } from '@nestjs/common';
import type { AttemptResult, ClaimedDelivery } from './delivery.store.js';

/** Tells operators of attempts, and of deliveries that are given up. */
@Injectable()
export class DeliveryReports {
  constructor(private readonly telemetry: Telemetry) {}

  attempted(delivery: ClaimedDelivery, { status, responseStatus, error }: AttemptResult): void {
    const { metrics, log } = this.telemetry;
    const failure = responseStatus === null ? 'unreachable' : 'rejected';
    metrics?.webhookAttempts.inc({ result: status === 'delivered' ? status : failure });
    if (status !== 'failed') return;
    metrics?.webhookDeliveriesFailed.inc();
    const { project_id: project, webhook_id, delivery_id, attempts } = delivery;
    const fields = { project, webhook_id, delivery_id, attempts, status: responseStatus ?? undefined, error };
    log.warn(fields, 'a delivery of a webhook has finally failed');
  }

  /** Deliveries have failed because they were held for too long. */
  expired(projectId: number, webhookId: string, count: number): void {
    if (count === 0) return;
    this.telemetry.metrics?.webhookDeliveriesFailed.inc(count);
    const fields = { project: projectId, webhook_id: webhookId, deliveries: count };
    this.telemetry.log.warn(fields, 'deliveries of a webhook have failed, because it was not enabled for too long');
  }
}
