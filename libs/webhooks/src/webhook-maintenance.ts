import { Maintenance, MAINTENANCE_ROWS, type MaintenanceTask } from '#jobs';
import { Injectable } from '@nestjs/common';

const KEPT = `interval '30 days'`;

const DELETE_OLD: MaintenanceTask = {
  name: 'delete old deliveries of webhooks',
  sql: `
    WITH old AS (
      DELETE FROM webhook_deliveries WHERE (project_id, webhook_id, delivery_id) IN (
        SELECT project_id, webhook_id, delivery_id FROM webhook_deliveries
        WHERE finished_at < now() - ${KEPT} LIMIT ${String(MAINTENANCE_ROWS)})
      RETURNING 1)
    SELECT count(*) >= ${String(MAINTENANCE_ROWS)} AS has_more FROM old`,
  dueSql: `SELECT min(finished_at) + ${KEPT} FROM webhook_deliveries`,
};

/** Deletes old deliveries, failed ones included. */
@Injectable()
export class WebhookMaintenance {
  constructor(maintenance: Maintenance) {
    maintenance.add(DELETE_OLD);
  }
}
