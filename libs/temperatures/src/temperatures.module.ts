import { AnalyticsModule } from '#analytics';
import { ClearTextKeys, EncryptionModule } from '#encryption';
import { JobsModule } from '#jobs';
import { FeedsModule } from '#feeds';
import { Module } from '@nestjs/common';
import { READING_KEYS } from './reading.js';
import { TemperaturesController } from './temperatures.controller.js';

@Module({
  imports: [EncryptionModule, JobsModule, AnalyticsModule, FeedsModule],
  controllers: [TemperaturesController],
})
export class TemperaturesModule {
  constructor(clearText: ClearTextKeys) {
    clearText.reserve(...READING_KEYS);
  }
}
