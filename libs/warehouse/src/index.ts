/**
 * warehouse: batches and objects: what producers post, analysts find and admins delete.
 * Imports json, filter, platform, access, jobs.
 */
export { AggregateStore } from './aggregate.store.js';
export { CreateBatchDto, PutBatchDto, WholeBatchDto } from './batch.dto.js';
export { BatchService } from './batch.service.js';
export { BatchOperations } from './batch.operations.js';
export { BulkSchema } from './bulk-schema.js';
export type { FeedObject } from './feed-write.store.js';
export { FeedWriter, type Became, type FeedWrite } from './feed-writer.js';
export { CreateObjectDto, ObjectDto, ObjectIdField, PatchObjectDto, ReplaceObjectDto } from './object.dto.js';
export { ObjectListStore } from './object-list.store.js';
export { ObjectService } from './object.service.js';
export type { ObjectRow } from './object.store.js';
export { ObservationStore, type Observation } from './observation.store.js';
export { dataOf, pairsOf } from './pairs.js';
export { WarehouseModule } from './warehouse.module.js';
export { idInUrl } from './wire.js';
