import { INSTALLATION } from '#audit';
import { timeOfSeq, type Queryable } from '#database';
import { Injectable } from '@nestjs/common';

/** A project with fewer queued jobs is light: its jobs should not wait long, however many jobs others have queued. */
const LIGHT_JOBS = 100;
/** So many queued jobs of a project are counted, and so many failed ones looked at. */
const COUNTED_JOBS = 10_000;
const FAILED_JOBS = 1_000;

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

/** One look-up in an index for each project, and no more rows of any of them than are counted. */
const QUEUES = `
  SELECT class, sum(jobs) AS jobs, count(*) AS projects, min(oldest) AS oldest
  FROM (
    SELECT jobs, oldest, CASE WHEN p.project_id = ${String(INSTALLATION)} THEN 'operator'
      WHEN jobs < ${String(LIGHT_JOBS)} THEN 'light' ELSE 'heavy' END AS class
    FROM (SELECT project_id FROM projects UNION ALL SELECT ${String(INSTALLATION)}) AS p
    CROSS JOIN LATERAL (
      SELECT count(*) AS jobs, min(job_id) AS oldest FROM (
        SELECT job_id FROM jobs AS j WHERE j.project_id = p.project_id AND j.status = 'queued'
        ORDER BY job_id LIMIT ${String(COUNTED_JOBS)}
      ) AS counted
    ) AS queue
    WHERE jobs > 0
  ) AS of_project
  GROUP BY class`;

const DEAD_LETTERS = `
  SELECT count(*) AS dead_letters
  FROM (SELECT project_id FROM projects UNION ALL SELECT ${String(INSTALLATION)}) AS p
  CROSS JOIN LATERAL (
    SELECT problem FROM jobs AS j WHERE j.project_id = p.project_id AND j.status = 'failed'
    ORDER BY job_id DESC LIMIT ${String(FAILED_JOBS)}
  ) AS failed
  WHERE problem::text LIKE '%/problems#internal"%'`;

const INDEX = `
  SELECT coalesce(sum(pending), 0) AS pending_objects, coalesce(max(pending), 0) AS most_pending_objects,
    (SELECT count(*) FROM index_builds) AS building_projects,
    (SELECT count(*) FROM projects WHERE encryption_cursor IS NOT NULL) AS encryption_projects, pg_database_size(current_database()) AS size_bytes
  FROM (SELECT count(*) AS pending FROM index_pending GROUP BY project_id) AS of_project`;

/** Reads what the metrics have from the database. */
@Injectable()
export class MetricsStore {
  async read(on: Queryable): Promise<DatabaseState> {
    const queues: DatabaseState['queues'] = { operator: emptyQueue(), light: emptyQueue(), heavy: emptyQueue() };
    const rows = await on.query<{ class: keyof typeof queues; jobs: string; projects: string; oldest: string }>(QUEUES);
    for (const { class: name, jobs, projects, oldest } of rows) {
      const oldestAtMs = Date.parse(timeOfSeq(oldest));
      queues[name] = { jobs: Number(jobs), projects: Number(projects), oldestAtMs };
    }
    const [dead] = await on.query<{ dead_letters: string }>(DEAD_LETTERS);
    const [index] = await on.query<Record<string, string>>(INDEX);
    return {
      queues,
      deadLetters: Number(dead?.dead_letters),
      sizeBytes: Number(index?.size_bytes),
      pendingObjects: Number(index?.pending_objects),
      mostPendingObjects: Number(index?.most_pending_objects),
      buildingProjects: Number(index?.building_projects),
      encryptionProjects: Number(index?.encryption_projects),
    };
  }
}

function emptyQueue(): QueueState {
  return { jobs: 0, projects: 0, oldestAtMs: null };
}
