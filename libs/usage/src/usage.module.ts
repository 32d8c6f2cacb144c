import { Module } from '@nestjs/common';
import { RequestCounter } from './request-counter.js';
import { UsageController } from './usage.controller.js';
import { UsageStore } from './usage.store.js';

@Module({
  controllers: [UsageController],
  providers: [UsageStore, RequestCounter],
  exports: [UsageStore, RequestCounter],
})
export class UsageModule {}
