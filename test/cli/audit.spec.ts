import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { settingsFor, TestApi, type TestProject } from '../harness/api.js';
import { Stowage, type Ended } from './stowage.js';

let api: TestApi;
let stowage: Stowage;
let project: TestProject;

beforeAll(async () => {
  api = await TestApi.start();
  stowage = await Stowage.create(settingsFor(api.db));
  project = await api.project();
  const key = project.keys.admin;
  const objects = ['a', 'b', 'c'].map((object_id) => ({ object_id, data: {} }));
  await api.call('POST', '/batches', { key, body: { batch_id: 'batch', objects } });
  for (const id of ['a', 'b', 'c']) await api.call('DELETE', `/objects/${id}`, { key });
});
afterAll(async () => {
  await stowage.remove();
  await api.stop();
});

function audit(...args: string[]): Promise<Ended> {
  return stowage.run(['audit', ...args]);
}

const ofProject = (): string[] => ['--project', String(project.projectId)];

describe('stowage audit list', () => {
  it('lists the entries of a project with the filters of the API, and records the command line itself', async () => {
    const all = await audit('list', ...ofProject());
    expect(all).toMatchObject({ code: 0, stderr: '' });
    expect(all.stdout).toMatch(/^NUMBER +CREATED_AT +ACTION +ACTOR +TARGET +ADDRESS +DETAILS\n/);
    const deleted = await audit('list', ...ofProject(), '--action', 'object.delete', '--limit', '2');
    expect(deleted.stdout.match(/object [abc]/g)).toEqual(['object c', 'object b']);
    expect((await audit('list', ...ofProject(), '--target', 'a')).stdout).toMatch(
      /^\d+ +\S+ +object\.delete +\d+ admin +object a +127\.0\.0\.1 +\{"batch_id":"batch"\}$/m,
    );
    const created = await stowage.run(['key', 'create', '--role', 'operator', '--name', 'from the tests']);
    expect(created.code).toBe(0);
    const [, newest = ''] = (await audit('list', '--installation', '--limit', '1')).stdout.split('\n');
    expect(newest).toMatch(/key\.create +command line +key \d+ +- +\{"name":"from the tests"/);
  });

  it.each([
    [['--action', 'object.read'], '--action must be one of object.replace,'],
    [['--key', 'x'], '--key must be the id of a key'],
    [['--from', 'yesterday'], '--from must be a date such as'],
    [['--limit', '0'], '--limit must be a whole number from 1 to 100000, not "0"'],
    [['--installation', '--project', 'default'], '--installation takes no --project'],
  ])('rejects %j', async (options, message) => {
    const { code, stderr } = await audit('list', ...options);
    expect([code, stderr]).toEqual([2, expect.stringContaining(message)]);
  });
});

describe('stowage audit verify', () => {
  it('has a help that names what is verified without options', async () => {
    const { stdout } = await stowage.start(['audit', 'verify', '--help']).ended;
    expect(stdout.replace(/\s+/g, ' ')).toContain('(default: the installation and all projects)');
    expect(stdout).not.toContain('first start');
  });

  it('prints the head of each chain, and exits with 1 where an entry was changed or removed', async () => {
    const valid = await audit('verify');
    expect(valid).toMatchObject({ code: 0, stderr: '' });
    expect(valid.stdout).toMatch(/^installation: valid, head \d+:[0-9a-f]{64}\n/);
    const id = String(project.projectId);
    const [, head = ''] = new RegExp(`^project ${id}: valid, head (\\d+:[0-9a-f]{64})$`, 'm').exec(valid.stdout) ?? [];
    expect(await audit('verify', ...ofProject(), '--head', head)).toMatchObject({ code: 0 });

    const [number = ''] = head.split(':');
    const other = `${number}:${'0'.repeat(64)}`;
    expect(await audit('verify', ...ofProject(), '--head', other)).toEqual({
      code: 1,
      stderr: '',
      stdout: `project ${id}: entry ${number} does not have the hash of the known head: the chain was written again\n`,
    });

    await api.db.sql(`UPDATE audit_entries SET actor_name = 'nobody' WHERE project_id = $1 AND number = 2`, [
      project.projectId,
    ]);
    const changed = await audit('verify');
    expect(changed.code).toBe(1);
    expect(changed.stdout).toContain(`project ${id}: entry 2 does not match its hash`);
    expect(changed.stdout).toMatch(/^installation: valid/);
    expect(await audit('verify', '--installation')).toMatchObject({ code: 0 });

    await api.db.sql(`DELETE FROM audit_entries WHERE project_id = $1 AND number = $2`, [project.projectId, number]);
    const removed = await audit('verify', ...ofProject());
    expect([removed.code, removed.stdout]).toEqual([1, expect.stringContaining(`entry ${number} is missing`)]);
  });

  it.each([
    [['--head', `1:${'0'.repeat(64)}`], '--head needs --project or --installation'],
    [['--installation', '--head', '1:xyz'], '--head must be <number>:<hash>'],
  ])('rejects %j', async (options, message) => {
    const { code, stderr } = await audit('verify', ...options);
    expect([code, stderr]).toEqual([2, expect.stringContaining(message)]);
  });
});
