import { AccessModule } from '#access';
import { JobsModule } from '#jobs';
import { WarehouseModule } from '#warehouse';
import { Module } from '@nestjs/common';
import { DoorController } from './doors.controller.js';
import { DoorOperations } from './doors.operations.js';

@Module({
  imports: [AccessModule, JobsModule, WarehouseModule],
  controllers: [DoorController],
  providers: [DoorOperations],
})
export class DoorsModule {}
