import { INSTALLATION } from '#audit';
import { timeOfSeq, type Queryable } from '#database';
import { Injectable } from '@nestjs/common';

/** A project with fewer queued jobs is light: its jobs should not wait long, however many jobs others have queued. */
const LIGHT_JOBS = 100;
/** At most 1,000 projects with queued jobs are looked at, at most 10,000 jobs of each are counted, and at most 1,000,000 of all of them. */
const PROJECTS_MAX = 1_000;
const QUEUED_OF_PROJECT_MAX = 10_000;
const QUEUED_MAX = 1_000_000;
/** On a cluster, whose shards send each of them to the coordinator. */
const QUEUED_DISTRIBUTED_MAX = 100_000;
/** Of the jobs that ended last, and of the objects that are not indexed yet. */
const ENDED_MAX = 10_000;
const PENDING_MAX = 200_000;

export const PROJECT_CLASSES = ['operator', 'light', 'heavy'] as const;

/** The queue of a class of projects. */
interface QueueState {
  jobs: number;
  projects: number;
  /** When the oldest of its queued jobs was accepted, in milliseconds since 1970; null without one. */
  oldestAtMs: number | null;
}

/** What the metrics have from the database. */
export interface DatabaseState {
  queues: Record<(typeof PROJECT_CLASSES)[number], QueueState>;
  deadLetters: number;
  sizeBytes: number;
  pendingObjects: number;
  mostPendingObjects: number;
  buildingProjects: number;
  encryptionProjects: number;
}

/** The index of queued jobs is read from project to project, so that one with many jobs does not hide the others. */
const QUEUES = `
  WITH RECURSIVE project AS (
    (SELECT project_id, 1 AS number FROM jobs WHERE status = 'queued' ORDER BY project_id LIMIT 1)
    UNION ALL
    SELECT (SELECT j.project_id FROM jobs AS j WHERE j.status = 'queued' AND j.project_id > p.project_id
      ORDER BY j.project_id LIMIT 1), number + 1
    FROM project AS p WHERE p.project_id IS NOT NULL AND number < ${String(PROJECTS_MAX)}
  )
  SELECT p.project_id, jobs, oldest FROM project AS p
  CROSS JOIN LATERAL (
    SELECT count(*) AS jobs, min(job_id) AS oldest FROM (
      SELECT job_id FROM jobs AS j WHERE j.project_id = p.project_id AND j.status = 'queued' ORDER BY job_id
      LIMIT least(${String(QUEUED_OF_PROJECT_MAX)}, ${String(QUEUED_MAX)} / (SELECT count(*) FROM project))
    ) AS counted
  ) AS queue
  WHERE jobs > 0`;

/** The same on a cluster, which has neither recursion nor LATERAL with LIMIT. */
const QUEUES_DISTRIBUTED = `
  SELECT project_id, count(*) AS jobs, min(job_id) AS oldest
  FROM (SELECT project_id, job_id FROM jobs WHERE status = 'queued' LIMIT ${String(QUEUED_DISTRIBUTED_MAX)}) AS counted
  GROUP BY project_id LIMIT ${String(PROJECTS_MAX)}`;

const DEAD_LETTERS = `
  SELECT count(*) AS dead_letters FROM (
    SELECT status, problem FROM jobs WHERE finished_at IS NOT NULL
    ORDER BY finished_at DESC LIMIT ${String(ENDED_MAX)}
  ) AS ended
  WHERE status = 'failed' AND problem::text LIKE '%/problems#internal"%'`;

const PENDING = `
  SELECT coalesce(sum(pending), 0) AS pending_objects, coalesce(max(pending), 0) AS most_pending_objects
  FROM (
    SELECT count(*) AS pending FROM (SELECT project_id FROM index_pending LIMIT ${String(PENDING_MAX)}) AS counted
    GROUP BY project_id
  ) AS of_project`;

const BUILDING = `SELECT count(*) AS building_projects FROM (SELECT FROM index_builds LIMIT ${String(PROJECTS_MAX)}) AS counted`;

/** The first condition has an index. */
const ENCRYPTION = `
  SELECT count(*) AS encryption_projects FROM (
    SELECT FROM projects WHERE encryption_key_id IS NOT NULL AND encryption_cursor IS NOT NULL LIMIT ${String(PROJECTS_MAX)}
  ) AS counted`;

const SIZE = `SELECT pg_database_size(current_database()) AS size_bytes`;

/** Reads what the metrics have from the database. Each statement reads a bounded number of rows, of all projects together. */
@Injectable()
export class MetricsStore {
  /** @param isDistributed whether the database is a cluster */
  async read(on: Queryable, isDistributed: boolean): Promise<DatabaseState> {
    const first = async (statement: string): Promise<Record<string, string>> =>
      (await on.query<Record<string, string>>(statement))[0] ?? {};
    const [dead, pending, building, encryption, size] = [
      await first(DEAD_LETTERS),
      await first(PENDING),
      await first(BUILDING),
      await first(ENCRYPTION),
      await first(SIZE),
    ];
    return {
      queues: await readQueues(on, isDistributed),
      deadLetters: Number(dead.dead_letters),
      sizeBytes: Number(size.size_bytes),
      pendingObjects: Number(pending.pending_objects),
      mostPendingObjects: Number(pending.most_pending_objects),
      buildingProjects: Number(building.building_projects),
      encryptionProjects: Number(encryption.encryption_projects),
    };
  }
}

async function readQueues(on: Queryable, isDistributed: boolean): Promise<DatabaseState['queues']> {
  const queues = { operator: emptyQueue(), light: emptyQueue(), heavy: emptyQueue() };
  type Row = { project_id: number; jobs: string; oldest: string };
  for (const row of await on.query<Row>(isDistributed ? QUEUES_DISTRIBUTED : QUEUES)) {
    const jobs = Number(row.jobs);
    const queue = queues[classOf(row.project_id, jobs)];
    queue.jobs += jobs;
    queue.projects++;
    queue.oldestAtMs = Math.min(queue.oldestAtMs ?? Infinity, Date.parse(timeOfSeq(row.oldest)));
  }
  return queues;
}

function classOf(projectId: number, jobs: number): (typeof PROJECT_CLASSES)[number] {
  if (projectId === INSTALLATION) return 'operator';
  return jobs < LIGHT_JOBS ? 'light' : 'heavy';
}

function emptyQueue(): QueueState {
  return { jobs: 0, projects: 0, oldestAtMs: null };
}
