import { writeSync } from 'node:fs';

const { FAULT_ROUNDS, FAULT_SEED } = process.env;

/** A short run with `npm test`; a long one, with real times, with `npm run test:faults`. */
export const RUN_OPTIONS = {
  isLong: FAULT_ROUNDS !== undefined,
  rounds: Number(FAULT_ROUNDS ?? 1),
  seed: Number(FAULT_SEED ?? Date.now() % 1_000_000),
};

/** Writes a line to stdout directly: Jest buffers console output and adds its origin. */
export function printLine(line: string): void {
  writeSync(1, `${line}\n`);
}
