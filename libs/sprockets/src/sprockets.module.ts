import { JobsModule } from '#jobs';
import { WarehouseModule } from '#warehouse';
import { Module } from '@nestjs/common';
import { FactoryController } from './factory.controller.js';
import { SprocketController } from './sprocket.controller.js';
import { SprocketsOperations } from './sprockets.operations.js';

@Module({
  imports: [JobsModule, WarehouseModule],
  controllers: [FactoryController, SprocketController],
  providers: [SprocketsOperations],
  exports: [SprocketsOperations],
})
export class SprocketsModule {}
