import type { LoggerService } from '@nestjs/common';
import { destination, pino, type Logger } from 'pino';
import type { LogLevel } from './config.js';
import { safeError } from './error-text.js';
import { LogOutput } from './log-output.js';

/** One for all logs of the process, whose lines stay in order. */
let standardError: LogOutput | undefined;

/** JSON lines on standard error; standard output is for people. API keys and bodies are never logged. */
export function createLog(level: LogLevel): Logger {
  const options = {
    level,
    base: { pid: process.pid },
    timestamp: isoTimes(),
    serializers: { err: safeError },
  };
  standardError ??= new LogOutput(destination({ dest: 2, sync: true }));
  return pino(options, standardError);
}

/** The member `time` of each line, made once for all lines of a millisecond: it costs as much as the rest of a short line. */
function isoTimes(): () => string {
  let [lastMs, member] = [NaN, ''];
  return () => {
    const now = Date.now();
    if (now !== lastMs) [lastMs, member] = [now, `,"time":"${new Date(now).toISOString()}"`];
    return member;
  };
}

/** Nest's messages in the same log; those of every start (modules, routes) have level debug. */
export function nestLog(log: Logger): LoggerService {
  return {
    log: (message: unknown) => {
      log.debug(String(message));
    },
    warn: (message: unknown) => {
      log.warn(String(message));
    },
    error: (message: unknown, stack?: unknown) => {
      log.error({ stack }, String(message));
    },
  };
}
