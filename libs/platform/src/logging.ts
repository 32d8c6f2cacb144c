import type { LoggerService } from '@nestjs/common';
import { destination, pino, type Logger } from 'pino';
import type { LogLevel } from './config.js';

/** JSON lines on standard error; standard output is for people. API keys and bodies are never logged. */
export function createLog(level: LogLevel): Logger {
  const options = {
    level,
    base: { pid: process.pid },
    timestamp: pino.stdTimeFunctions.isoTime,
    serializers: { err: serializeError },
  };
  return pino(options, destination({ dest: 2, sync: true }));
}

/** Without further members: those of a database error quote rows. */
function serializeError(error: unknown): object {
  const { name, message, code, stack } = error as Error & { code?: unknown };
  return { type: name, message, code, stack };
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
