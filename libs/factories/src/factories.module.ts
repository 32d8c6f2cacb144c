import { JobsModule } from '#jobs';
import { WarehouseModule } from '#warehouse';
import { Module } from '@nestjs/common';
import { FactoryController } from './factory.controller.js';

@Module({ imports: [JobsModule, WarehouseModule], controllers: [FactoryController] })
export class FactoriesModule {}
