/**
 * jobs: writes that can be sent again without doing them twice: accepted now and run later, or remembered by an
 * Idempotency-Key.
 * Imports platform, access.
 */
export type { Operation, Outcome, Receipt, Write, WriteInput } from './operation.js';
