/**
 * platform: configuration, logging, the clock, times and durations, limits per project, turns of the event loop.
 * Imports json.
 */
export { ByteBudget, type Reservation } from './byte-budget.js';
export { Clock } from './clock.js';
export { Config, QUOTA_MAX, RESERVED_CONNECTIONS } from './config.js';
export { DURATION_PATTERN, DURATION_RULE, durationSeconds, parseDurationSeconds } from './duration.js';
export { endsWithin } from './ends-within.js';
export { describeError, internalErrorText, safeError } from './error-text.js';
export { EventLoopLoad, EventLoopYield, nextTurn } from './event-loop.js';
export { ID_PATTERN, ID_RULE, isId, isSubject, PROJECT_ID_MAX, SUBJECT_PATTERN } from './id.js';
export { isGeneratedKeyFormat, KEY_ALPHABET, KEY_RANDOM_LENGTH, mayBeKey, withChecksum } from './key-format.js';
export { createLog, nestLog } from './logging.js';
export { findOutputPath, partPathOf, publishPart, removeOldParts, syncFolder } from './part-file.js';
export { ProjectSlots, type SlotRejection } from './project-slots.js';
export { openBytes, sealBytes } from './sealed-bytes.js';
export { productVersion } from './product-version.js';
export { projectFile } from './project-file.js';
export { MissingDataKeyError } from './missing-data-key-error.js';
export { StartupError } from './startup-error.js';
export { readTlsFiles, type TlsFiles } from './tls-files.js';
export {
  EPOCH_SECONDS_MAX,
  FIRST_MICROS,
  isTime,
  isTimeOrDate,
  isTimestamp,
  microsOf,
  toUtc,
  utcFromMicros,
  utcFromTimestamp,
} from './time.js';
