import { JobsModule } from '#jobs';
import { WarehouseModule } from '#warehouse';
import { Module } from '@nestjs/common';
import { SprocketController } from './sprocket.controller.js';

@Module({ imports: [JobsModule, WarehouseModule], controllers: [SprocketController] })
export class SprocketsModule {}
