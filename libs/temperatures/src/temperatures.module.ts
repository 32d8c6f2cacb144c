import { JobsModule } from '#jobs';
import { WarehouseModule } from '#warehouse';
import { Module } from '@nestjs/common';
import { TemperaturesController } from './temperatures.controller.js';

@Module({ imports: [JobsModule, WarehouseModule], controllers: [TemperaturesController] })
export class TemperaturesModule {}
