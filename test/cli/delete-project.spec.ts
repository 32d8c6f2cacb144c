import { beforeEach, describe, expect, it } from '@jest/globals';
import type { TestApi, TestProject } from '../harness/api.js';
import { waitFor } from '../jobs/jobs.js';
import { serveWithCommands } from './served.js';
import type { Stowage, Ended } from './stowage.js';

/** A server that runs no jobs. */
let api: TestApi;
let stowage: Stowage;
let project: TestProject;

serveWithCommands((served) => {
  ({ api, stowage } = served);
});
beforeEach(async () => {
  project = await api.project();
  const body = { batch_id: 'b', objects: [1, 2, 3].map((n) => ({ object_id: String(n), data: { n } })) };
  expect((await api.call('POST', '/batches', { key: project.keys.producer, body })).status).toBe(201);
});

function remove(...args: string[]): Promise<Ended> {
  return stowage.run(['project', 'delete', ...args]);
}

const isThere = async (): Promise<boolean> =>
  (await api.call('GET', `/projects/${String(project.projectId)}`, { key: api.operatorKey })).status === 200;

describe('stowage project delete', () => {
  it('deletes the project and its rows without a worker, and prints the numbers', async () => {
    const id = String(project.projectId);
    expect((await api.call('GET', '/me', { key: project.keys.admin })).status).toBe(200);
    expect(await remove(id, '--cascade', '--yes')).toEqual({
      code: 0,
      stdout: `${id}  deleted 1 batches, 3 objects, 0 jobs, 4 keys, 1 devices\n`,
      stderr: expect.stringMatching(new RegExp(`^deleted project ${id} "[^"]+"; deleting its rows \\(job \\d+\\)\\n$`)),
    });
    expect(await isThere()).toBe(false);
    expect(await api.db.sql('SELECT FROM objects WHERE project_id = $1', [id])).toEqual([]);
    await waitFor(async () =>
      (await api.call('GET', '/me', { key: project.keys.admin })).status === 401 ? true : undefined,
    );
    const jobs = await api.call('GET', '/jobs', { key: api.operatorKey });
    expect(jobs.json()).toMatchObject({ results: [{ status: 'succeeded' }] });
    const { results } = (await api.call('GET', '/audit?action=project.delete', { key: api.operatorKey })).json<{
      results: object[];
    }>();
    expect(results[0]).toMatchObject({ actor: { name: 'command line' }, target: { id }, details: { objects: 3 } });
  });

  it('takes the name of the project', async () => {
    const name = `name of ${String(project.projectId)}`;
    const path = `/projects/${String(project.projectId)}`;
    await api.call('PATCH', path, { key: api.operatorKey, body: { name } });
    expect(await remove(name, '--cascade', '--yes')).toMatchObject({ code: 0 });
    expect(await isThere()).toBe(false);
  });

  it('takes an id before the name of another project, which an earlier version accepted', async () => {
    const id = String(project.projectId);
    const other = (await api.project()).projectId;
    await api.db.sql('UPDATE projects SET name = $1 WHERE project_id = $2', [id, other]);
    const ended = await remove(id, '--cascade', '--yes');
    expect(ended).toMatchObject({ code: 0, stdout: expect.stringMatching(new RegExp(`^${id}  deleted 1 batches`)) });
    expect(await isThere()).toBe(false);
  });

  it('deletes nothing without --yes, and without --cascade while there are batches', async () => {
    const id = String(project.projectId);
    const name = `name of ${id}`;
    await api.call('PATCH', `/projects/${id}`, { key: api.operatorKey, body: { name } });
    for (const [given, missing] of [
      [[], '--cascade and --yes'],
      [['--cascade'], '--yes'],
      [['--yes'], '--cascade'],
    ] as const) {
      const stderr = `stowage: project ${id} "${name}" has 1 batch with 3 objects; to delete all of it with its keys and devices, add ${missing}\n`;
      expect(await remove(id, ...given)).toEqual({ code: 2, stdout: '', stderr });
    }
    expect(await isThere()).toBe(true);
    expect((await api.call('GET', '/objects', { key: project.keys.admin })).json()).toMatchObject({ count: 3 });
  });

  it('rejects a project that does not exist', async () => {
    expect(await remove('nobody', '--yes')).toMatchObject({ code: 1, stderr: expect.stringContaining('"nobody"') });
  });
});

describe('commands without --project', () => {
  it('use the project of the first start after it was renamed, and create none when it was deleted', async () => {
    const create = (): Promise<Ended> => stowage.run(['key', 'create', '--role', 'analyst']);
    expect(await stowage.run(['project', 'rename', 'default', 'first one'])).toMatchObject({ code: 0 });
    expect(await create()).toMatchObject({ code: 0, stderr: expect.stringContaining('in project first one;') });
    expect(await stowage.run(['device', 'list'])).toMatchObject({ code: 0 });

    expect(await remove('first one', '--cascade', '--yes')).toMatchObject({ code: 0 });
    const missing = {
      code: 1,
      stdout: '',
      stderr: expect.stringMatching(/^stowage: the project of the first start does not exist; use --project, .*\n$/),
    };
    expect(await create()).toEqual(missing);
    expect(await stowage.run(['key', 'list'])).toEqual(missing);
    expect(await stowage.run(['audit', 'list'])).toEqual(missing);
    expect(await api.db.sql(`SELECT FROM projects WHERE name = 'default'`)).toEqual([]);
  });
});

describe('stowage audit', () => {
  it('verifies and lists the chain of a deleted project by its id', async () => {
    const id = String(project.projectId);
    const verify = (): Promise<Ended> => stowage.run(['audit', 'verify', '--project', id]);
    const before = await verify();
    expect(before).toMatchObject({ code: 0, stdout: expect.stringContaining(`project ${id}: valid`) });
    expect(await remove(id, '--cascade', '--yes')).toMatchObject({ code: 0 });
    expect(await verify()).toEqual(before);
    expect((await stowage.run(['audit', 'verify'])).stdout).toContain(before.stdout);
    expect((await stowage.run(['audit', 'list', '--project', id])).stdout).toContain('device.create');
  });
});
