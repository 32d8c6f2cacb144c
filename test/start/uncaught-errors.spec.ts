import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { Stowage, type Ended } from '../cli/stowage.js';
import { cloneDatabase, type TestDatabase } from '../harness/database.js';
import { urlOf } from '../harness/tables.js';

/** A value in the error that ends the process. */
const VALUE = 'a-value-of-the-client';
const PRELOAD = pathToFileURL(join(process.cwd(), 'test/start/uncaught-error.mjs')).href;

let db: TestDatabase;
let stowage: Stowage;
beforeAll(async () => {
  db = await cloneDatabase();
  stowage = await Stowage.create({
    DATABASE_URL: urlOf(db.address),
    STOWAGE_KEY_SECRET: 'a secret of the tests, 32 characters',
    WORKER: 'separate',
  });
});
afterAll(async () => {
  await stowage.remove();
  await db.close();
});

/** The code, the message and the stack are printed, and nothing that quotes a value. */
function expectNoValue({ code, stdout, stderr }: Ended, sqlState: string): void {
  expect(stderr).toMatch(new RegExp(`^stowage: internal error\n\\w+ ${sqlState}: .*\n +at `, 'm'));
  expect(stdout + stderr).not.toContain(VALUE);
  expect(code).toBe(1);
}

it.each([
  ['serve', /^Stowage is ready/m],
  ['worker', /^Stowage worker is ready/m],
])('an error that nothing catches ends %s, and is printed without values', async (command, ready) => {
  const running = stowage.start([command], { NODE_OPTIONS: `--import=${PRELOAD}` });
  await running.prints(ready);
  running.child.kill('SIGUSR2');
  expectNoValue(await running.ended, '23505');
});

it.each([['migrate'], ['backup a.backup'], ['restore a.backup']])(
  'an error that nothing catches ends %s, and is printed without values',
  async (command) => {
    const { ended } = stowage.start(command.split(' '), { NODE_OPTIONS: `--import=${PRELOAD}` });
    expectNoValue(await ended, '23505');
  },
);

it('an error that ends the start is printed without values', async () => {
  await db.sql(`CREATE FUNCTION reject() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
      RAISE check_violation USING MESSAGE = '"${VALUE}" is rejected', DETAIL = '${VALUE}', HINT = '${VALUE}';
    END $$`);
  await db.sql(`CREATE TRIGGER reject BEFORE INSERT OR UPDATE ON projects FOR EACH ROW EXECUTE FUNCTION reject()`);
  // The first start creates a project where there is none.
  await db.sql(`TRUNCATE projects CASCADE`);
  expectNoValue(await stowage.start(['serve']).ended, '23514');
});
