/**
 * firmware: a feed. Devices report the firmware that they run with keys of their own; analysts read the events of a device,
 * newest first. An event is an object about the device with the pair `version` and optionally `status`.
 * Imports json, platform, http, usage, access, jobs, store, feeds.
 */
export { eventsToStore, type FirmwareEvent } from './firmware.js';
export { FirmwareModule } from './firmware.module.js';
