import { ApiKeyEntity } from './api-key.entity.js';
import { DeviceEntity } from './device.entity.js';
import { ProjectEntity } from './project.entity.js';

/** The entities of this lib. */
export const ACCESS_ENTITIES = [ProjectEntity, ApiKeyEntity, DeviceEntity];
