import { JobsModule } from '#jobs';
import { WarehouseModule } from '#warehouse';
import { Module } from '@nestjs/common';
import { Clock } from './clock.js';
import { TemperaturesController } from './temperatures.controller.js';
import { TemperatureOperations } from './temperatures.operations.js';

@Module({
  imports: [JobsModule, WarehouseModule],
  controllers: [TemperaturesController],
  providers: [Clock, TemperatureOperations],
  exports: [TemperatureOperations],
})
export class TemperaturesModule {}
