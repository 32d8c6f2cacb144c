/**
 * access: projects, API keys and roles, and the guard of every route.
 * Imports platform.
 */
export { CreateKeyDto, CreateProjectDto } from './access.dto.js';
export { AccessModule } from './access.module.js';
export { ApiKeyEntity } from './api-key.entity.js';
export { Authentication, From, Project, projectOf } from './authentication.js';
export { KeyService } from './key.service.js';
export { KeySecret } from './key-secret.js';
export { ProjectEntity } from './project.entity.js';
export { DEFAULT_PROJECT, ProjectService } from './project.service.js';
