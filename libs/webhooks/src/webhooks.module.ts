import { AccessModule } from '#access';
import { AnalyticsModule } from '#analytics';
import { AuditModule } from '#audit';
import { ChangesModule } from '#changes';
import { ClearTextKeys, EncryptionModule } from '#encryption';
import { EventsModule } from '#events';
import { JobsModule } from '#jobs';
import { Config } from '#platform';
import { Module } from '@nestjs/common';
import { BatchWatch } from './batch-watch.js';
import { DeliveryReports } from './delivery-reports.js';
import { DeliveryStore } from './delivery.store.js';
import { PublicAddresses } from './public-address.js';
import { ThresholdWatch } from './threshold-watch.js';
import { WebhookController } from './webhook.controller.js';
import { WebhookMaintenance } from './webhook-maintenance.js';
import { WebhookSender } from './webhook-sender.js';
import { WebhookSecrets } from './webhook-secrets.js';
import { WebhookService } from './webhook.service.js';
import { WebhookStore } from './webhook.store.js';

/** Tells other systems what happens in a project. */
@Module({
  imports: [AccessModule, AnalyticsModule, AuditModule, ChangesModule, EncryptionModule, EventsModule, JobsModule],
  controllers: [WebhookController],
  providers: [
    {
      provide: PublicAddresses,
      useFactory: ({ webhooks }: Config) => new PublicAddresses(webhooks.allowedNetworks),
      inject: [Config],
    },
    WebhookStore,
    WebhookSecrets,
    WebhookService,
    DeliveryStore,
    DeliveryReports,
    BatchWatch,
    ThresholdWatch,
    WebhookSender,
    WebhookMaintenance,
  ],
})
export class WebhooksModule {
  constructor(clearText: ClearTextKeys, webhooks: WebhookService) {
    clearText.addUses((on, projectId, keys) => webhooks.findKeyUses(on, projectId, keys));
  }
}
