import { expect, it } from '@jest/globals';
import { pino } from 'pino';
import { safeError } from './error-text.js';
import { nestLog } from './logging.js';

it('the log of Nest has no value that an error quotes, in its message and in its stack', () => {
  const lines: string[] = [];
  const options = { timestamp: false, base: null, serializers: { err: safeError } };
  const log = nestLog(pino(options, { write: (line: string) => lines.push(line) }));
  const error = new Error('invalid input: "secret\n    at secret"');
  log.error(error);
  log.error(error.message, error.stack, 'ExceptionsHandler');
  log.warn(error);
  log.error('of the server "itself"');
  expect(lines.join('')).not.toContain('secret');
  expect(lines.map((line) => JSON.parse(line) as unknown)).toMatchObject([
    { level: 50, msg: 'Error: invalid input: "…"', err: { stack: expect.stringMatching(/^ +at .*logging\.spec/) } },
    { level: 50, msg: 'invalid input: "…"', stack: expect.stringMatching(/^ +at .*logging\.spec/) },
    { level: 40, msg: 'Error: invalid input: "…"' },
    { level: 50, msg: 'of the server "itself"' },
  ]);
});
