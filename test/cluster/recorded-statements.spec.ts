import { execFile } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { RECORDED, RUN } from '../harness/run.js';
import { checkStatements } from '../harness/statement-check.mjs';
import { STATEMENTS_FOLDER, STATEMENTS_MAX } from '../harness/statement-tap.mjs';

/** A folder like that of a run. */
let folder: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'stowage-statements-'));
  await mkdir(join(folder, STATEMENTS_FOLDER));
});
afterAll(() => rm(folder, { recursive: true }));

/** Checks what a process has recorded. */
async function check(text: string): Promise<void> {
  await writeFile(join(folder, STATEMENTS_FOLDER, 'one'), text);
  await checkStatements(folder, { ...RUN.superuser, database: RUN.sharedDatabase });
}

const line = (sql: string): string => `${JSON.stringify(sql)}\n`;

describe('the statements of a process', () => {
  it('are recorded for the check at the end of the run, also where the process is killed', async () => {
    const sql = `SELECT '${randomUUID()}'`;
    const script = `
      import pg from 'pg';
      new pg.Client().query(${JSON.stringify(sql)}).catch(() => undefined);
      process.kill(process.pid, 'SIGKILL');`;
    const run = promisify(execFile)(process.execPath, [...RECORDED, '--input-type=module', '-e', script]);
    await expect(run).rejects.toMatchObject({ signal: 'SIGKILL' });
    const ofRun = join(dirname(RUN.log), STATEMENTS_FOLDER);
    const texts = await Promise.all((await readdir(ofRun)).map((name) => readFile(join(ofRun, name), 'utf8')));
    expect(texts.filter((text) => text.includes(line(sql)))).toHaveLength(1);
  });

  it('are read up to a line that a killed process has not written to its end, and fail the run where one breaks a rule', async () => {
    await check(`${line('SELECT FROM objects WHERE project_id = $1')}"SELECT FROM obj`);
    await expect(check(line('SELECT FROM objects'))).rejects.toThrow('objects is not bound to the project_id');
  });

  it('fail the run where there are more than a process records', async () => {
    await expect(check('null\n'.repeat(STATEMENTS_MAX))).rejects.toThrow(`${String(STATEMENTS_MAX)} different`);
  });
});
