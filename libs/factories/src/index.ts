/**
 * factories: a feed. Factories with their production and their goals, as a list and by id. They are the objects of the batch
 * `factories`.
 * Imports json, platform, http, access, jobs, store, objects, feeds.
 */
export { FactoriesModule } from './factories.module.js';
