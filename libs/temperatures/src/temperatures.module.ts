import { AnalyticsModule } from '#analytics';
import { JobsModule } from '#jobs';
import { FeedsModule } from '#feeds';
import { Module } from '@nestjs/common';
import { TemperaturesController } from './temperatures.controller.js';

@Module({ imports: [JobsModule, AnalyticsModule, FeedsModule], controllers: [TemperaturesController] })
export class TemperaturesModule {}
