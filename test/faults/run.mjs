/**
 * Runs the long fault tests: `npm run test:faults -- --rounds 100 --seed 7`. Each round kills the server, the worker and
 * PostgreSQL, suspends PostgreSQL, sets the clocks and fills the disk once; the other tests run once, with their real times and amounts. The
 * same seed gives the same order and times of faults. A round takes about 25 seconds, the floods take about 8 minutes.
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
  console.error(`--${name} must be an integer from 1 to 9999999; got "${value}"`);
  process.exit(2);
}
const flags = ['--experimental-vm-modules', '--disable-warning=ExperimentalWarning'];
const SPECS = ['test/faults', ...['floods', 'full-disk', 'embedded-database'].map((name) => `test/security/${name}`)];
// Sequential, because the specs measure times and memory.
const args = [...flags, 'node_modules/jest/bin/jest.js', ...SPECS, '--runInBand', '--verbose'];
const env = { ...process.env, FAULT_ROUNDS: values.rounds, FAULT_SEED: values.seed };
spawn(process.execPath, args, { env, stdio: 'inherit' }).once('exit', (code) => process.exit(code ?? 1));
