/**
 * warehouse: batches and objects: what producers post, analysts find and admins delete.
 * Imports json, filter, platform, access, jobs.
 */
export { AggregateStore } from './aggregate.store.js';
export { CreateBatchDto, PutBatchDto, WholeBatchDto } from './batch.dto.js';
export { BatchService } from './batch.service.js';
export { BulkSchema } from './bulk-schema.js';
export { OneOrFile, OneOrList, Stored } from './feed.dto.js';
export { FEED_LIST_MAX, makeEach, oneOrMany, type Made, type Sent } from './feed-body.js';
export { batchOfDay, idOf } from './feed-id.js';
export { FeedOperations, type FeedPlan } from './feed-operations.js';
export { FeedReader, type FeedList } from './feed-reader.js';
export type { FeedObject } from './feed-write.store.js';
export { FeedWriter, type Became, type FeedWrite } from './feed-writer.js';
export type { Kind } from './kind.js';
export { KindService, listOf } from './kind.service.js';
export { CreateObjectDto, ObjectDto, ObjectIdField, PatchObjectDto, ReplaceObjectDto } from './object.dto.js';
export type { Note } from './note.js';
export type { ObjectRow } from './object.store.js';
export { dataOf, pairsOf, valueIn } from './pairs.js';
export { WarehouseModule } from './warehouse.module.js';
