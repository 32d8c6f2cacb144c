import { Config } from '#platform';
import { Module } from '@nestjs/common';
import { TypeOrmModule } from '@nestjs/typeorm';
import { ACCESS_ENTITIES } from './access-entities.js';
import { Authentication } from './authentication.js';
import { DeviceController } from './device.controller.js';
import { DeviceService } from './device.service.js';
import { KeySecret } from './key-secret.js';
import { KeyService } from './key.service.js';
import { ProjectController } from './project.controller.js';
import { ProjectService } from './project.service.js';

@Module({
  imports: [TypeOrmModule.forFeature(ACCESS_ENTITIES)],
  controllers: [ProjectController, DeviceController],
  providers: [
    { provide: KeySecret, inject: [Config], useFactory: (config: Config) => KeySecret.load(config) },
    Authentication,
    KeyService,
    ProjectService,
    DeviceService,
  ],
  exports: [KeySecret, Authentication, KeyService, ProjectService, DeviceService],
})
export class AccessModule {}
