import { JobsModule } from '#jobs';
import { FeedsModule } from '#feeds';
import { Module } from '@nestjs/common';
import { SprocketController } from './sprocket.controller.js';

@Module({ imports: [JobsModule, FeedsModule], controllers: [SprocketController] })
export class SprocketsModule {}
