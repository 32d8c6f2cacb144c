import { ClearTextKeys, EncryptionModule } from '#encryption';
import { JobsModule } from '#jobs';
import { FeedsModule } from '#feeds';
import { Module } from '@nestjs/common';
import { SPROCKET_KEYS } from './sprocket.js';
import { SprocketController } from './sprocket.controller.js';

@Module({ imports: [EncryptionModule, JobsModule, FeedsModule], controllers: [SprocketController] })
export class SprocketsModule {
  constructor(clearText: ClearTextKeys) {
    clearText.reserve(...SPROCKET_KEYS);
  }
}
