/**
 * sprockets: the feed of factories, each with what it made over time, and of the sprockets that they make. Both are ordinary
 * objects, in the batches `factories` and `sprockets`.
 * Imports json, platform, access, jobs, warehouse.
 */
export { SprocketsModule } from './sprockets.module.js';
export { SprocketsOperations } from './sprockets.operations.js';
