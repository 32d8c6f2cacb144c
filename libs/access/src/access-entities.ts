import { ApiKeyEntity } from './api-key.entity.js';
import { DeletedProjectEntity } from './deleted-project.entity.js';
import { DeviceEntity } from './device.entity.js';
import { ProjectEntity } from './project.entity.js';

/** The entities of this lib. */
export const ACCESS_ENTITIES = [ProjectEntity, DeletedProjectEntity, ApiKeyEntity, DeviceEntity];
