import { Database } from '#database';
import { Maintenance, MAINTENANCE_ROWS, type MaintenanceTask } from '#jobs';
import { Injectable, Logger } from '@nestjs/common';
import { SecretUnreadableError, WebhookSecrets } from './webhook-secrets.js';

const KEPT = `interval '30 days'`;
/** Of one run. */
const SECRETS = 1_000;

interface StoredSecret {
  project_id: number;
  webhook_id: string;
  secret: string;
}

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

const LIST_OUTDATED = `
  SELECT project_id, webhook_id, secret FROM webhooks WHERE secret LIKE ANY ($1::text[]) LIMIT ${String(SECRETS)}`;

const REPLACE = `UPDATE webhooks SET secret = $4 WHERE project_id = $1 AND webhook_id = $2 AND secret = $3`;

/**
 * Deletes old deliveries, failed ones included, and encrypts secrets with the current key secret: after it was replaced, and those that a
 * version before their encryption has stored.
 */
@Injectable()
export class WebhookMaintenance {
  private readonly log = new Logger('webhooks');

  constructor(
    maintenance: Maintenance,
    private readonly secrets: WebhookSecrets,
    private readonly database: Database,
  ) {
    maintenance.add(DELETE_OLD, {
      name: 'encrypt secrets of webhooks with the current key secret',
      run: () => this.replaceSecrets(),
    });
  }

  /** A process that still has the previous key secret as its current one replaces them back, until it is restarted. */
  private async replaceSecrets(): Promise<void> {
    const rows = await this.database.query<StoredSecret>(LIST_OUTDATED, [this.secrets.outdatedPatterns]);
    for (const { project_id: projectId, webhook_id: webhookId, secret: stored } of rows) {
      const place = { projectId, webhookId };
      try {
        const replaced = this.secrets.seal(place, this.secrets.open(place, stored));
        await this.database.query(REPLACE, [projectId, webhookId, stored, replaced]);
      } catch (error) {
        if (!(error instanceof SecretUnreadableError)) throw error;
        this.log.warn(`webhook ${webhookId}: ${error.message}`);
      }
    }
  }
}
