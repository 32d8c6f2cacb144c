import { ClearTextKeys, EncryptionModule } from '#encryption';
import { JobsModule } from '#jobs';
import { FeedsModule } from '#feeds';
import { Module } from '@nestjs/common';
import { FACTORY_KEYS } from './factory.js';
import { FactoryController } from './factory.controller.js';

@Module({ imports: [EncryptionModule, JobsModule, FeedsModule], controllers: [FactoryController] })
export class FactoriesModule {
  constructor(clearText: ClearTextKeys) {
    clearText.reserve(...FACTORY_KEYS);
  }
}
