/**
 * access: projects, API keys and roles, devices, and the guard of every route.
 * Imports platform.
 */
export { CreateKeyDto, CreateProjectDto } from './access.dto.js';
export { ACCESS_ENTITIES } from './access-entities.js';
export { AccessModule } from './access.module.js';
export { Authentication, CurrentPrincipal, ProjectId, projectIdOf } from './authentication.js';
export { CreateDeviceDto } from './device.dto.js';
export { DeviceService } from './device.service.js';
export { KeyService } from './key.service.js';
export { KeySecret } from './key-secret.js';
export { DEFAULT_PROJECT, ProjectService } from './project.service.js';
