/**
 * sprockets: a feed: sprockets by id and by page. They are the objects of one batch, `sprockets`.
 * Imports json, platform, access, jobs, warehouse; never another feed.
 */
export { SprocketsModule } from './sprockets.module.js';
