/**
 * feeds: the building blocks of a feed: reading and writing typed objects.
 * Imports json, filter, platform, database, http, access, jobs, store, objects.
 */
export { FEED_LIST_MAX, type Made, makeEach, oneOrMany, type Sent } from './feed-body.js';
export { batchOfDay, idOf } from './feed-id.js';
export { FeedOperations, type FeedPlan } from './feed-operations.js';
export { type FeedList, FeedReader } from './feed-reader.js';
export { type Became, FeedWriter } from './feed-writer.js';
export { OneOrFile, OneOrList, Stored } from './feed.dto.js';
export type { Kind } from './kind.js';
export { KindService, listOf } from './kind.service.js';
export { FeedsModule } from './feeds.module.js';
