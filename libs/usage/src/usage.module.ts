import { Module } from '@nestjs/common';
import { QuotaStore } from './quota.store.js';
import { RequestCounter } from './request-counter.js';
import { UsageController } from './usage.controller.js';
import { UsageStore } from './usage.store.js';

@Module({
  controllers: [UsageController],
  providers: [QuotaStore, UsageStore, RequestCounter],
  exports: [QuotaStore, UsageStore, RequestCounter],
})
export class UsageModule {}
