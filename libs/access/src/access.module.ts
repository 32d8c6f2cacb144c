import { Config } from '#platform';
import { Module } from '@nestjs/common';
import { Authentication } from './authentication.js';
import { KeySecret } from './key-secret.js';
import { KeyService } from './key.service.js';
import { ProjectController } from './project.controller.js';
import { ProjectService } from './project.service.js';

@Module({
  controllers: [ProjectController],
  providers: [
    { provide: KeySecret, inject: [Config], useFactory: (config: Config) => KeySecret.load(config) },
    Authentication,
    KeyService,
    ProjectService,
  ],
  exports: [KeySecret, Authentication, KeyService, ProjectService],
})
export class AccessModule {}
