import { ApiKeyEntity } from './api-key.entity.js';
import { DeviceEntity } from './device.entity.js';
import { ProjectEntity } from './project.entity.js';

/** Every entity there is: whoever opens the database gives it these. */
export const ACCESS_ENTITIES = [ProjectEntity, ApiKeyEntity, DeviceEntity];
