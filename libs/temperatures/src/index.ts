/**
 * temperatures: readings of the rooms of buildings, a door onto ordinary objects: one object a reading, in a batch for
 * each day, its subject `building/room`.
 * Imports json, filter, platform, access, jobs, warehouse.
 */
export { Clock } from './clock.js';
export { TemperaturesModule } from './temperatures.module.js';
export { TemperatureOperations } from './temperatures.operations.js';
