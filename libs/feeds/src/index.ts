/**
 * feeds: the building blocks of a feed: reading and writing typed objects.
 * Imports json, filter, platform, database, http, usage, audit, access, jobs, inverted-index, store, objects.
 */
export {
  FEED_LIST_MAX,
  feedListLimit,
  itemsOf,
  type Parsed,
  parseEach,
  readItem,
  type InputItem,
} from './feed-input.js';
export { dailyBatchId, contentId } from './feed-id.js';
export { FeedOperations, type FeedInput, type FeedStages, type FeedStreamStages } from './feed-operations.js';
export type { StreamCounts } from './feed-stream-writer.js';
export { type FeedList, FeedReader } from './feed-reader.js';
export type { FeedWriteResult } from './feed-write.js';
export { FeedWriter } from './feed-writer.js';
export { ApiOneOrFile, ApiOneOrList, ApiStoredResult } from './feed.dto.js';
export type { TypedCollection } from './typed-collection.js';
export { CollectionService, collectionList } from './collection.service.js';
export { FeedsModule } from './feeds.module.js';
