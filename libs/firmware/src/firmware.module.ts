import { AccessModule } from '#access';
import { JobsModule } from '#jobs';
import { FeedsModule } from '#feeds';
import { Module } from '@nestjs/common';
import { FirmwareController } from './firmware.controller.js';

@Module({ imports: [AccessModule, JobsModule, FeedsModule], controllers: [FirmwareController] })
export class FirmwareModule {}
