import type { LoggerService } from '@nestjs/common';
import { destination, pino, type Logger } from 'pino';
import type { LogLevel } from './config.js';
import { describeError, framesOf, safeError, withoutQuotes } from './error-text.js';
import { LogOutput } from './log-output.js';

/** What waits for a disk that is full; texts beyond it are lost. */
const WAITING_BYTES_MAX = 1024 ** 2;

/** One for all logs of the process, whose lines stay in order. */
let standardError: LogOutput | undefined;

const LINE = { base: { pid: process.pid }, serializers: { err: safeError } };

/** JSON lines on standard error; standard output is for people. API keys and bodies are never logged. */
export function createLog(level: LogLevel): Logger {
  standardError ??= new LogOutput(openStandardError());
  return pino({ ...LINE, level, timestamp: isoTimes() }, standardError);
}

/**
 * Writes at once. Where that fails, as on a full disk, nothing is thrown: what was not written waits for the next write. Lines that are
 * lost are counted, and their number is logged as soon as standard error can be written again.
 */
function openStandardError(): ReturnType<typeof destination> {
  const sink = destination({ dest: 2, sync: true, maxLength: WAITING_BYTES_MAX });
  let linesLost = 0;
  sink.on('error', () => undefined);
  sink.on('drop', (text: string) => {
    linesLost += text.split('\n').length - 1;
  });
  // All that waited is written.
  sink.on('drain', () => {
    if (linesLost === 0) return;
    const message = `${String(linesLost)} lines of the log were lost: standard error could not be written`;
    linesLost = 0;
    pino({ ...LINE, timestamp: isoTimes() }, sink).warn(message);
  });
  return sink;
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
      log.warn(message instanceof Error ? describeError(message) : String(message));
    },
    error: (message: unknown, stack?: unknown) => {
      if (message instanceof Error) log.error({ err: message }, describeError(message));
      // Of an error, which may quote a value of a client.
      else if (typeof stack === 'string') {
        log.error({ stack: framesOf(String(message), stack) }, withoutQuotes(String(message)));
      } else log.error(String(message));
    },
  };
}
