import { EncryptedKeys, EncryptionModule } from '#encryption';
import { JobsModule } from '#jobs';
import { FeedsModule } from '#feeds';
import { Module } from '@nestjs/common';
import { SPROCKET_KEYS } from './sprocket.js';
import { SprocketController } from './sprocket.controller.js';

@Module({ imports: [EncryptionModule, JobsModule, FeedsModule], controllers: [SprocketController] })
export class SprocketsModule {
  constructor(encryption: EncryptedKeys) {
    encryption.reserve(...SPROCKET_KEYS);
  }
}
