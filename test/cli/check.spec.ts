import { beforeEach, describe, expect, it } from '@jest/globals';
import type { TestApi, TestProject } from '../harness/api.js';
import { serveWithCommands } from './served.js';
import type { Stowage, Ended } from './stowage.js';

/** More than one statement stores, so that they are in a segment. */
const INDEXED = 300;

/** Runs no background work, which would repair some of the damage. */
let api: TestApi;
let stowage: Stowage;
let project: TestProject;

serveWithCommands((served) => {
  ({ api, stowage } = served);
});
beforeEach(async () => {
  project = await api.project();
  const key = project.keys.producer;
  const objects = Array.from({ length: INDEXED }, (_, n) => ({ object_id: String(n), data: { n, color: 'red' } }));
  expect((await api.call('POST', '/batches', { key, body: { batch_id: 'b', objects } })).status).toBe(201);
  const body = { batch_id: 'b', object_id: 'pending', data: { n: -1, color: 'blue' } };
  expect((await api.call('POST', '/objects', { key, body })).status).toBe(201);
});

function check(...args: string[]): Promise<Ended> {
  return stowage.run(['check', ...args]);
}

const ofProject = (): string[] => ['--project', String(project.projectId)];

function damage(sql: string): Promise<unknown> {
  return api.db.sql(sql, [project.projectId]);
}

async function count(query: string): Promise<number> {
  const { projectId, keys } = project;
  const reply = await api.call('GET', `/objects?${query}&count=exact`, { key: keys.analyst });
  expect([projectId, reply.status]).toEqual([projectId, 200]);
  return reply.json<{ results: unknown[] }>().results.length;
}

describe('stowage check', () => {
  it('prints a line for each project, and exits with 0 where every index is right', async () => {
    const other = await api.project();
    const { code, stdout, stderr } = await check();
    expect([code, stderr]).toEqual([0, '']);
    const lines = stdout.trim().split('\n');
    const projects = await api.db.sql('SELECT FROM projects');
    expect(lines).toHaveLength(projects.length);
    expect(stdout).toMatch(
      new RegExp(`^project ${String(project.projectId)} ".+": 301 objects, the index is right$`, 'm'),
    );
    expect(stdout).toMatch(new RegExp(`^project ${String(other.projectId)} ".+": 0 objects, the index is right$`, 'm'));
  });

  it.each([
    [
      'a block that was deleted',
      `DELETE FROM index_blocks WHERE project_id = $1 AND last_text = 'red'`,
      /: 301 objects, 300 differences, the first: segment \d+ lacks the term \["color",5,"red"\] \(sequence number \d+\)\n$/,
    ],
    [
      'an object that was removed from a posting list',
      `UPDATE index_blocks SET body = set_bit(body, 8 * (length(body) - 1), 0)
       WHERE project_id = $1 AND last_text = 'red'`,
      /: 301 objects, 1 difference, the first: segment \d+ lacks the term \["color",5,"red"\] \(sequence number \d+\)\n$/,
    ],
    [
      'an object that was added to a posting list',
      `UPDATE index_blocks AS b SET body = substr(body, 1, 3) || '\\x05'::bytea || substr(body, 5)
       WHERE project_id = $1 AND path = 'n' AND kind = 4 AND last_number < 200 AND get_byte(body, 3) = 0`,
      /: 301 objects, 2 differences, the first: segment \d+ lacks the term \["n",4,"0"\] \(sequence number \d+\)\n$/,
    ],
    [
      'a block with a wrong last value',
      `UPDATE index_blocks SET last_text = 'aaa' WHERE project_id = $1 AND last_text = 'red'`,
      /1 difference, the first: segment \d+ has a block of "color" with a wrong last value\n$/,
    ],
    [
      'a segment without one of its keys',
      `UPDATE index_segments SET keys = array_remove(keys, 'color') WHERE project_id = $1`,
      /1 difference, the first: segment \d+ has a list of keys that differs from its blocks\n$/,
    ],
    [
      'a segment with a wrong range',
      `UPDATE index_segments SET last_seq = first_seq WHERE project_id = $1`,
      /1 difference, the first: segment \d+ has a range that differs from its objects\n$/,
    ],
    [
      'a segment that was deleted',
      `DELETE FROM index_segments WHERE project_id = $1`,
      /301 differences, the first: there are blocks of segment \d+, which does not exist\n$/,
    ],
    [
      'a pending object that was forgotten',
      `DELETE FROM index_pending WHERE project_id = $1`,
      /1 difference, the first: the object is not indexed \(sequence number \d+\)\n$/,
    ],
    [
      'an object that was deleted without its entries',
      `DELETE FROM objects WHERE project_id = $1 AND object_id = 'pending'`,
      /: 300 objects, 1 difference, the first: the object does not exist \(sequence number \d+\)\n$/,
    ],
  ])('reports %s and exits with 1; --repair builds the index again', async (_, sql, line) => {
    await damage(sql);
    const found = await check(...ofProject());
    expect([found.code, found.stderr]).toEqual([1, '']);
    expect(found.stdout).toMatch(line);

    const repaired = await check('--repair');
    expect([repaired.code, repaired.stderr]).toEqual([0, '']);
    expect(repaired.stdout).toContain(found.stdout);
    expect(repaired.stdout.match(/the index was built again, the index is right$/gm)).toHaveLength(1);
    expect(await check(...ofProject())).toMatchObject({ code: 0 });
  });

  it('changes what filters find: an object whose term was lost is found again after --repair', async () => {
    expect(await count('key=n&value=7')).toBe(1);
    await damage(`DELETE FROM index_blocks WHERE project_id = $1 AND path = 'n' AND kind = 4`);
    expect(await count('key=n&value=7')).toBe(0);
    expect(await check(...ofProject(), '--repair')).toMatchObject({ code: 0 });
    expect(await count('key=n&value=7')).toBe(1);
    expect(await count('key=color&value=blue')).toBe(1);
  });

  it('does not compare objects that are still to be indexed, and says that the index is being built', async () => {
    await damage('DELETE FROM index_blocks WHERE project_id = $1');
    await damage('DELETE FROM index_segments WHERE project_id = $1');
    await damage(
      `INSERT INTO index_builds SELECT project_id, max(seq) + 1 FROM objects WHERE project_id = $1 GROUP BY 1`,
    );
    const line = `project ${String(project.projectId)} ".+": 301 objects, the index is being built\n`;
    expect(await check(...ofProject(), '--repair')).toEqual({
      code: 0,
      stdout: expect.stringMatching(new RegExp(`^${line}$`)),
      stderr: '',
    });
  });

  it('rejects a project that does not exist', async () => {
    expect(await check('--project', 'nowhere')).toEqual({
      code: 1,
      stdout: '',
      stderr: 'stowage: project "nowhere" not found; "stowage project list" lists all projects\n',
    });
  });
});
