import { ACCESS_ENTITIES } from '#access';
import { BatchEntity, ObjectEntity } from '#store';

/** Every TypeORM entity of the product. */
export const ENTITIES = [...ACCESS_ENTITIES, BatchEntity, ObjectEntity];
