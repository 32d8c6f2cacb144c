import type { Role } from '#http';
import { expect } from '@jest/globals';
import type { Reply, TestApi, TestProject } from '../harness/api.js';
import { waitFor, waitForJob, type Job } from '../jobs/jobs.js';
import { addressOf, CONTRACT, fill, type Route } from '../routes/route-table.js';

/** Values for the ids in paths. */
export type Ids = Readonly<Record<string, string | number>>;

export const MISSING: Ids = {
  project_id: 2_147_483_647,
  key_id: '1',
  device_id: 'nothing',
  batch_id: 'nothing',
  object_id: 'nothing',
  job_id: '1',
  deletion_id: '1',
  webhook_id: '1',
  delivery_id: '1',
  factory_id: 'nothing',
  sprocket_id: 'nothing',
  building: 'nothing',
  room: 'nothing',
};

/** A project with one resource of each kind. */
export class ProjectWithResources {
  private constructor(
    private readonly api: TestApi,
    readonly project: TestProject,
    private readonly stored: Ids,
    private readonly jobs: Record<'producer' | 'device' | 'operator', string>,
  ) {}

  /** @param name the id of each resource, except those that the server assigns */
  static async create(api: TestApi, name: string): Promise<ProjectWithResources> {
    const project = await api.project();
    const { admin, producer, device } = project.keys;
    const post = async <T>(path: string, body: object, key = producer, headers = {}): Promise<T> => {
      const reply = await api.call('POST', path, { key, body, headers });
      expect([reply.status, reply.text]).toEqual([expect.any(Number), expect.not.stringContaining('/problems#')]);
      return reply.json<T>();
    };
    const batch = { batch_id: name, objects: [{ object_id: name, data: { type: name } }] };
    await post('/batches', batch);
    // A deletion whose ids are used again.
    expect((await api.call('DELETE', `/batches/${name}?cascade=true`, { key: admin })).status).toBe(204);
    const deletions = await api.call('GET', '/deletions', { key: admin });
    const [deletion] = deletions.json<{ results: { deletion_id: string }[] }>().results;
    await post('/batches', batch);
    await post('/factories', { id: `factory-${name}`, ...CONTRACT['POST /factories']?.body });
    await post('/sprockets', { id: `sprocket-${name}`, ...CONTRACT['POST /sprockets']?.body });
    await post(`/buildings/${name}/rooms/${name}/temperatures`, { temperature: 10.5 });
    const keys = `/projects/${String(project.projectId)}/keys`;
    const { key_id } = await post<{ key_id: string }>(keys, { name, role: 'analyst' }, admin);
    const { webhook_id } = await post<{ webhook_id: string }>(
      '/webhooks',
      CONTRACT['POST /webhooks']?.body ?? {},
      admin,
    );
    // Its webhook is not enabled, so it is not sent.
    await api.db.sql(
      `INSERT INTO webhook_deliveries (project_id, webhook_id, delivery_id, event, body, status, attempts, due_at)
       VALUES ($1, $2, $2, 'job.failed', '{}', 'failed', 10, now())`,
      [project.projectId, webhook_id],
    );
    const later = { batch_id: `later-${name}`, objects: [] };
    const { id } = await post<{ id: string }>('/batches', later, producer, { Prefer: 'respond-async' });
    const { job } = await post<{ job: string }>('/firmware', { version: '1.0.0', timestamp: 1700000000 }, device);
    const jobs = {
      producer: id,
      device: job.slice(job.lastIndexOf('/') + 1),
      operator: await deleteProject(api, (await api.project()).projectId),
    };
    const isUnfinished = async (): Promise<boolean> =>
      /"(?:queued|running)"/.test((await api.call('GET', '/jobs', { key: admin })).text);
    await waitFor(async () => ((await isUnfinished()) ? undefined : true));
    const stored = {
      project_id: project.projectId,
      key_id,
      webhook_id,
      delivery_id: webhook_id,
      device_id: project.deviceId,
      batch_id: name,
      object_id: name,
      deletion_id: deletion?.deletion_id ?? '',
      factory_id: `factory-${name}`,
      sprocket_id: `sprocket-${name}`,
      building: name,
      room: name,
    };
    return new ProjectWithResources(api, project, stored, jobs);
  }

  /** The resources that a key of the role may access. */
  idsFor(role: Role): Ids {
    return { ...this.stored, job_id: this.jobs[role === 'device' || role === 'operator' ? role : 'producer'] };
  }

  keyOf(role: Role): string {
    return role === 'operator' ? this.api.operatorKey : this.project.keys[role];
  }

  /** Every stored row of the project, except those that the server writes on its own after a request. */
  async rows({ audit = true } = {}): Promise<unknown> {
    const { sql } = this.api.db;
    const tables = await sql<{ name: string }>(`
      SELECT table_name AS name FROM information_schema.columns JOIN information_schema.tables USING (table_name)
      WHERE tables.table_schema = 'public' AND column_name = 'project_id' ORDER BY 1`);
    const rows = tables
      .map(({ name }) => name)
      .filter((name) => !['project_requests', 'rollup_marks', 'rollups'].includes(name) && !/^index_|change/.test(name))
      .filter((name) => audit || !name.startsWith('audit'))
      .map((name) =>
        sql(
          `SELECT $2 AS "table", to_jsonb(row) - 'last_used_at' AS row FROM ${name} AS row WHERE project_id = $1 ORDER BY 2`,
          [this.project.projectId, name],
        ),
      );
    return (await Promise.all(rows)).flat();
  }
}

/** Deletes a project with everything in it. @returns the id of the job, which has succeeded */
export async function deleteProject(api: TestApi, projectId: number): Promise<string> {
  const key = api.operatorKey;
  const reply = await api.call('DELETE', `/projects/${String(projectId)}?cascade=true`, { key });
  expect([reply.status, reply.text]).toEqual([202, reply.text]);
  const job = await waitForJob(api, key, reply.json<Job>());
  expect(job).toMatchObject({ status: 'succeeded', result_status: 200 });
  return job.id;
}

/** Sends a valid request for the resources with these ids. */
export function sendTo(api: TestApi, route: Route, ids: Ids, key?: string): Promise<Reply> {
  const [type] = route.types ?? [];
  return api.call(route.method, fill(addressOf(route), ids), {
    key,
    ...(type === undefined ? {} : { headers: { 'Content-Type': type } }),
    ...(route.body === undefined ? {} : { body: route.body }),
  });
}

/** Everything in a problem and its headers that may reveal whether a resource exists. */
export function essenceOf({ status, headers, json }: Reply): unknown {
  const differing = ['content-length', 'date', 'ratelimit', 'x-request-id'];
  return {
    status,
    headers: Array.from(headers).filter(([name]) => !differing.includes(name)),
    body: { ...json<object>(), request_id: '', instance: '' },
  };
}
