/**
 * telemetry: what a process reports about itself: its log, metrics, traces and errors.
 * Imports platform.
 */
export { Metrics } from './metrics.js';
export { hasToken } from './metrics-token.js';
export { Telemetry } from './telemetry.js';
export { Tracing, type TraceSpan } from './tracing.js';
export { formatTraceparent, parseTraceparent, type TraceContext } from './trace-context.js';
