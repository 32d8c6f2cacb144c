/**
 * temperatures: a feed: readings of the rooms of buildings, one object a reading, in a batch for each day, its subject
 * `building/room`.
 * Imports json, filter, platform, access, jobs, warehouse; never another feed.
 */
export { TemperaturesModule } from './temperatures.module.js';
