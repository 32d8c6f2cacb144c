/**
 * The long form of the fault tests: `npm run test:faults -- --rounds 100 --seed 7`. In each round the server, the worker and
 * PostgreSQL are killed once; the other tests run once, with their real times. The same seed kills in the same order and after
 * the same times. Takes about a quarter of a minute a round.
 */
import { spawn } from 'node:child_process';
import { parseArgs } from 'node:util';

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '10' },
    seed: { type: 'string', default: String(Date.now() % 1_000_000) },
  },
});
for (const [name, value] of Object.entries(values)) {
  if (/^[1-9]\d{0,6}$/.test(value)) continue;
  console.error(`--${name} takes a whole number from 1, not "${value}"`);
  process.exit(2);
}
const flags = ['--experimental-vm-modules', '--disable-warning=ExperimentalWarning'];
// One after the other, so that their times and their memory are their own.
const args = [...flags, 'node_modules/jest/bin/jest.js', 'test/faults', '--runInBand', '--verbose'];
const env = { ...process.env, FAULT_ROUNDS: values.rounds, FAULT_SEED: values.seed };
spawn(process.execPath, args, { env, stdio: 'inherit' }).once('exit', (code) => process.exit(code ?? 1));
