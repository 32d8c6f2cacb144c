/**
 * sprockets: a feed. Sprockets as pages and by id. They are the objects of the batch `sprockets`.
 * Imports json, platform, http, access, jobs, store, objects, feeds.
 */
export { SprocketsModule } from './sprockets.module.js';
