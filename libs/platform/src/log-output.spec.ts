import { spawnSync } from 'node:child_process';
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it, jest } from '@jest/globals';
import { pino, type Logger } from 'pino';
import { LogOutput } from './log-output.js';

beforeEach(() => {
  jest.useFakeTimers();
});
afterEach(() => {
  jest.useRealTimers();
});

/** @returns a log, and the texts that were written of it */
function createLog(): { log: Logger; writes: string[] } {
  const writes: string[] = [];
  const output = new LogOutput({ write: (text) => writes.push(text) });
  return { log: pino({ timestamp: false, base: null }, output), writes };
}

/** Runs a script that logs in a process of its own. */
function run(script: string, standardError: number | 'pipe' = 'pipe'): { status: number | null; lines: string[] } {
  const text = `import { createLog } from '#platform'; const log = createLog('info'); ${script}`;
  const { status, stderr } = spawnSync(process.execPath, ['--input-type=module', '-e', text], {
    stdio: ['ignore', 'ignore', standardError],
    encoding: 'utf8',
  });
  // Null where standard error is a file.
  return { status, lines: messagesOf(typeof stderr === 'string' ? stderr : '') };
}

function messagesOf(text: string): string[] {
  const lines = text.split('\n').filter((line) => line.startsWith('{'));
  return lines.map((line) => (JSON.parse(line) as { msg: string }).msg);
}

it('lines that follow each other are written together, 100 ms after the first at the latest', () => {
  const { log, writes } = createLog();
  log.info('one');
  jest.advanceTimersByTime(99);
  log.child({ request_id: 'r' }).info('two');
  expect(writes).toEqual([]);
  jest.advanceTimersByTime(1);
  expect(writes).toEqual(['{"level":30,"msg":"one"}\n{"level":30,"request_id":"r","msg":"two"}\n']);
  log.info('three');
  jest.advanceTimersByTime(100);
  expect(writes.slice(1)).toEqual(['{"level":30,"msg":"three"}\n']);
});

it.each(['warn', 'error', 'fatal'] as const)(
  'a line of the level %s is written at once, after those before it',
  (level) => {
    const { log, writes } = createLog();
    log.info('before');
    log[level]('now');
    log.info('after');
    expect(writes.map((text) => text.match(/before|now|after/g))).toEqual([['before', 'now']]);
  },
);

it.each([
  ['x', 10],
  // Two bytes each.
  ['ü', 41],
])(
  'no write has lines of more than 4,096 bytes together, and a longer line is written alone: %s',
  (character, writesMax) => {
    const { log, writes } = createLog();
    const texts = Array.from({ length: 40 }, (_, n) => `${String(n)}${character.repeat(200)}`);
    for (const text of [...texts, 'x'.repeat(10_000), 'last']) log.info(text);
    jest.advanceTimersByTime(100);
    const sizes = writes.map((text) => Buffer.byteLength(text));
    expect(sizes.filter((size) => size > 4_096)).toEqual([10_022]);
    expect(writes.length).toBeLessThanOrEqual(writesMax + 1);
    const lines = writes.join('').split('\n').slice(0, -1);
    expect(lines.map((line) => (JSON.parse(line) as { msg: string }).msg)).toEqual([
      ...texts,
      'x'.repeat(10_000),
      'last',
    ]);
  },
);

it.each([
  ['process.exit', 'process.exit(3)', 3],
  ['an error that nothing catches', 'throw new Error("a bug")', 1],
])('the lines of all logs of a process are written in order, and none is lost when it ends by %s', (_, end, status) => {
  const script = `const other = createLog('info'); for (let n = 0; n < 50; n++) (n % 3 ? log : other).info(String(n)); ${end}`;
  expect(run(script)).toEqual({ status, lines: Array.from({ length: 50 }, (_, n) => String(n)) });
});

it('a full disk under standard error ends no process, and the lines that are lost are counted', () => {
  const folder = mkdtempSync(join(tmpdir(), 'stowage-log-'));
  const full = openSync('/dev/full', 'a');
  try {
    const path = join(folder, 'log');
    // 3 MB, of which 1 MiB waits. Then there is space: the file descriptor 2 becomes that of another file.
    const script = `
      import { closeSync, openSync } from 'node:fs';
      import { setImmediate } from 'node:timers/promises';
      for (let n = 0; n < 300; n++) log[n % 2 ? 'info' : 'warn']('x'.repeat(10_000));
      log.info('waits for the timer');
      await new Promise((resolve) => setTimeout(resolve, 200));
      closeSync(2);
      if (openSync(${JSON.stringify(path)}, 'a') !== 2) process.exit(4);
      log.warn('there is space');
      await setImmediate();
      log.warn('all is well');
      process.exit(3);`;
    expect(run(script, full).status).toBe(3);
    const messages = messagesOf(readFileSync(path, 'utf8'));
    const waited = messages.filter((message) => message.startsWith('x')).length;
    expect(waited).toBeGreaterThan(90);
    expect(messages.slice(waited)).toEqual([
      'waits for the timer',
      'there is space',
      `${String(300 - waited)} lines of the log were lost: standard error could not be written`,
      'all is well',
    ]);
  } finally {
    closeSync(full);
    rmSync(folder, { recursive: true });
  }
});
