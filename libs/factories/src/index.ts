/**
 * factories: a feed: factories with what they made and were to make, whole and by id. They are the objects of one batch,
 * `factories`.
 * Imports json, platform, access, jobs, warehouse; never another feed.
 */
export { FactoriesModule } from './factories.module.js';
