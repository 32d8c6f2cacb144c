/**
 * access: projects, API keys and roles, devices, and the authentication of every route.
 * Imports platform, telemetry, database, http, limits, usage, audit, events, encryption.
 */
export { ACCESS_ENTITIES } from './access-entities.js';
export { AccessModule } from './access.module.js';
export { Authentication, unauthenticated } from './authentication.js';
export { CanaryAlerts } from './canary-alerts.js';
export { DeletedProjectEntity } from './deleted-project.entity.js';
export { CreateDeviceDto, type DeviceDto } from './device.dto.js';
export { DeviceService } from './device.service.js';
export { DeviceStore } from './device.store.js';
export { CreateKeyDto, type KeyDto, RotateKeyDto, UpdateKeyDto } from './key.dto.js';
export { KeyCache } from './key-cache.js';
export { KeyVerifier } from './key-verifier.js';
export { KeyService, type NewKey } from './key.service.js';
export { KeyStore } from './key.store.js';
export { KeySecret } from './key-secret.js';
export { PATCH_TYPES } from './patch-types.js';
export { PRECONDITION_RULES } from './precondition-rules.js';
export { CreateProjectDto, UpdateProjectDto } from './project.dto.js';
export { parseProjectId, ProjectService } from './project.service.js';
export { describeUnmatched, matchKeys } from './unmatched-keys.js';
