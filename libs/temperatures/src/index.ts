/**
 * temperatures: a feed. Temperature readings of the rooms of buildings: one object per reading, in a batch per day, with the
 * subject `building/room`.
 * Imports json, filter, platform, http, access, jobs, store, analytics, feeds.
 */
export { TemperaturesModule } from './temperatures.module.js';
