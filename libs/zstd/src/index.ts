/**
 * zstd: reads Zstandard as it arrives, in bounded time and memory whatever is sent; why we do that ourselves is told in
 * docs/decisions/011.
 * Imports nothing.
 */
export { CorruptZstd } from './bits.js';
export { ZstdFrames } from './frames.js';
