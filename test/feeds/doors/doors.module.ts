import { JobsModule } from '#jobs';
import { WarehouseModule } from '#warehouse';
import { Module } from '@nestjs/common';
import { DoorController } from './doors.controller.js';

@Module({ imports: [JobsModule, WarehouseModule], controllers: [DoorController] })
export class DoorsModule {}
