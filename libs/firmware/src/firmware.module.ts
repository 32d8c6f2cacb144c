import { AccessModule } from '#access';
import { JobsModule } from '#jobs';
import { WarehouseModule } from '#warehouse';
import { Module } from '@nestjs/common';
import { FirmwareController } from './firmware.controller.js';

@Module({ imports: [AccessModule, JobsModule, WarehouseModule], controllers: [FirmwareController] })
export class FirmwareModule {}
