import { writeSync } from 'node:fs';

const { FAULT_ROUNDS, FAULT_SEED } = process.env;

/** How much is done: a little by `npm test`, as much as one likes by `npm run test:faults`. */
export const LONG = {
  isLong: FAULT_ROUNDS !== undefined,
  rounds: Number(FAULT_ROUNDS ?? 1),
  seed: Number(FAULT_SEED ?? Date.now() % 1_000_000),
};

/** Past Jest, which would keep it until the end and say where it came from. */
export function say(line: string): void {
  writeSync(1, `${line}\n`);
}
