import type { LoggerService } from '@nestjs/common';
import { destination, pino, type Logger } from 'pino';
import type { LogLevel } from './config.js';

/** JSON lines on standard error; standard output is for what a person reads. Keys and bodies never go in. */
export function createLog(level: LogLevel): Logger {
  return pino({ level, base: null, timestamp: pino.stdTimeFunctions.isoTime }, destination({ dest: 2, sync: true }));
}

/** Nest's messages in the same log; what it tells at every start (modules, routes) only at level debug. */
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
