/**
 * zstd: a streaming Zstandard decoder with bounded time and memory for any input; docs/decisions/011 has the reasons.
 * Imports nothing.
 */
export { CorruptZstd } from './bits.js';
export { ZstdFrames } from './frames.js';
