/**
 * firmware: a feed. Devices report which firmware they run, with keys of their own; analysts read the events of a device,
 * the latest first. An event is an object about the device, with the pair `version` and perhaps `status`.
 * Imports json, platform, access, jobs, warehouse; never another feed.
 */
export { storing, type FirmwareEvent } from './firmware.js';
export { FirmwareModule } from './firmware.module.js';
