import { AuditLog, AuditModule } from '#audit';
import { Database } from '#database';
import { EncryptionModule } from '#encryption';
import { EventsModule, EventStore } from '#events';
import { LimitsModule } from '#limits';
import { Config } from '#platform';
import { Telemetry } from '#telemetry';
import { UsageModule } from '#usage';
import { Module } from '@nestjs/common';
import { TypeOrmModule } from '@nestjs/typeorm';
import { ACCESS_ENTITIES } from './access-entities.js';
import { AlertWebhook } from './alert-webhook.js';
import { Authentication } from './authentication.js';
import { CanaryAlerts } from './canary-alerts.js';
import { DeviceController } from './device.controller.js';
import { DeviceService } from './device.service.js';
import { DeviceStore } from './device.store.js';
import { KeyCache } from './key-cache.js';
import { KeyController } from './key.controller.js';
import { KeySecret } from './key-secret.js';
import { KeyVerifier } from './key-verifier.js';
import { KeyService } from './key.service.js';
import { KeyStore } from './key.store.js';
import { MeController } from './me.controller.js';
import { OperatorKeyController } from './operator-key.controller.js';
import { ProjectController } from './project.controller.js';
import { ProjectEncryption } from './project-encryption.js';
import { ProjectService } from './project.service.js';

@Module({
  imports: [
    UsageModule,
    TypeOrmModule.forFeature(ACCESS_ENTITIES),
    LimitsModule,
    AuditModule,
    EventsModule,
    EncryptionModule,
  ],
  controllers: [ProjectController, KeyController, OperatorKeyController, MeController, DeviceController],
  providers: [
    { provide: KeySecret, inject: [Config], useFactory: (config: Config) => KeySecret.load(config) },
    {
      provide: CanaryAlerts,
      inject: [AuditLog, EventStore, Database, Config, Telemetry],
      useFactory: (
        audit: AuditLog,
        events: EventStore,
        database: Database,
        { alerts: { webhook } }: Config,
        telemetry: Telemetry,
      ) =>
        new CanaryAlerts(audit, events, database, webhook && new AlertWebhook(webhook.url, webhook.secret), telemetry),
    },
    Authentication,
    KeyStore,
    { provide: KeyCache, inject: [Database], useFactory: (database: Database) => new KeyCache(database) },
    KeyVerifier,
    KeyService,
    ProjectEncryption,
    ProjectService,
    DeviceStore,
    DeviceService,
  ],
  exports: [
    KeySecret,
    Authentication,
    KeyStore,
    KeyCache,
    KeyVerifier,
    KeyService,
    ProjectService,
    DeviceStore,
    DeviceService,
  ],
})
export class AccessModule {}
