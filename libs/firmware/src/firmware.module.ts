import { AccessModule } from '#access';
import { JobsModule } from '#jobs';
import { FeedsModule } from '#feeds';
import { UsageModule } from '#usage';
import { Module } from '@nestjs/common';
import { FirmwareController } from './firmware.controller.js';

@Module({ imports: [AccessModule, JobsModule, UsageModule, FeedsModule], controllers: [FirmwareController] })
export class FirmwareModule {}
