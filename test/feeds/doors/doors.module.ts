import { JobsModule } from '#jobs';
import { FeedsModule } from '#feeds';
import { Module } from '@nestjs/common';
import { DoorController } from './doors.controller.js';

@Module({ imports: [JobsModule, FeedsModule], controllers: [DoorController] })
export class DoorsModule {}
