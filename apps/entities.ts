import { ACCESS_ENTITIES } from '#access';
import { AuditEntryEntity } from '#audit';
import { RateLimitCountEntity } from '#limits';
import { BatchEntity, ObjectEntity } from '#store';
import { ProjectRequestsEntity, ProjectUsageEntity } from '#usage';

/** Every TypeORM entity of the product. */
export const ENTITIES = [
  ...ACCESS_ENTITIES,
  AuditEntryEntity,
  BatchEntity,
  ObjectEntity,
  ProjectUsageEntity,
  ProjectRequestsEntity,
  RateLimitCountEntity,
];
