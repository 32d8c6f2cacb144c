import { AccessModule } from '#access';
import { ClearTextKeys, EncryptionModule } from '#encryption';
import { JobsModule } from '#jobs';
import { FeedsModule } from '#feeds';
import { Module } from '@nestjs/common';
import { FIRMWARE_KEYS } from './firmware.js';
import { FirmwareController } from './firmware.controller.js';

@Module({
  imports: [EncryptionModule, AccessModule, JobsModule, FeedsModule],
  controllers: [FirmwareController],
})
export class FirmwareModule {
  constructor(clearText: ClearTextKeys) {
    clearText.reserve(...FIRMWARE_KEYS);
  }
}
