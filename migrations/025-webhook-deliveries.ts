import type { MigrationInterface, QueryRunner } from 'typeorm';
import { createIndexConcurrently } from './concurrent-index.js';

/** The deliveries of a webhook that are queued or have failed, which are few among those that were delivered. */
export class WebhookDeliveries1766400000000 implements MigrationInterface {
  name = 'WebhookDeliveries1766400000000';
  readonly phase = 'expand';
  readonly transaction = false;

  async up(runner: QueryRunner): Promise<void> {
    await createIndexConcurrently(runner, {
      name: 'webhook_deliveries_undelivered_idx',
      on: `ON webhook_deliveries (project_id, webhook_id, delivery_id) WHERE status <> 'delivered'`,
    });
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`DROP INDEX webhook_deliveries_undelivered_idx`);
  }
}
