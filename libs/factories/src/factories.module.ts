import { JobsModule } from '#jobs';
import { FeedsModule } from '#feeds';
import { Module } from '@nestjs/common';
import { FactoryController } from './factory.controller.js';

@Module({ imports: [JobsModule, FeedsModule], controllers: [FactoryController] })
export class FactoriesModule {}
