import { Database } from '#database';
import { Injectable } from '@nestjs/common';
import { TASK } from './job-queue.store.js';
import { Maintenance } from './maintenance.js';

/** Another application may use the same queue. */
const IS_OURS = `task_id = (SELECT id FROM graphile_worker._private_tasks WHERE identifier = '${TASK}')`;

/**
 * The first place of jobs that can run now: the least priority, which graphile-worker takes first. A further attempt keeps its
 * place, which the queue has passed; new jobs placed behind it would overtake those that wait. OFFSET makes PostgreSQL read the
 * index in its order, also before it has statistics: 0.05 ms for 50,000 jobs instead of 11 ms.
 */
const FIRST_PLACE = `
  SELECT priority FROM (
    SELECT priority, attempts, task_id FROM graphile_worker._private_jobs
    WHERE is_available AND run_at <= now() ORDER BY priority, run_at OFFSET 0
  ) AS waiting WHERE attempts = 0 AND ${IS_OURS} LIMIT 1`;

/** Jobs of a project after these have the same place, in the order of arrival. */
const COUNTED_JOBS = 1_000;

const QUEUE = {
  name: 'job.queue',
  text: `
    SELECT (${FIRST_PLACE})::integer AS first_place, (
      SELECT count(*)::integer FROM (
        SELECT FROM jobs WHERE project_id = $1 AND status = 'queued' LIMIT ${String(COUNTED_JOBS)}
      ) AS counted
    ) AS queued`,
};

/** The type of a priority is smallint. */
const PLACE_MAX = 32_767;

/**
 * Moves the queue to the front when its first place is high, as after tens of thousands of jobs without a pause. Costs one look-up
 * otherwise.
 */
const MOVE_QUEUE = `
  UPDATE graphile_worker._private_jobs SET priority = greatest(0, priority - (${FIRST_PLACE}))
  WHERE (${FIRST_PLACE}) > ${String(Math.floor(PLACE_MAX / 2))} AND ${IS_OURS}`;

/**
 * A job accepted just after the queue was moved, with the first place from before, and a further attempt after the queue was
 * empty, would be behind thousands of places. Costs one look-up where there is none.
 */
const MOVE_LATE_JOBS = `
  UPDATE graphile_worker._private_jobs SET priority = (${FIRST_PLACE}) + ${String(COUNTED_JOBS)}
  WHERE is_available AND priority > (${FIRST_PLACE}) + ${String(COUNTED_JOBS)} AND ${IS_OURS}`;

/** How long the state of the queue is used again. Counting it for each job would halve the rate at which jobs are accepted. */
const FRESH_MS = 250;
const PROJECTS_MAX = 1_000;

interface ProjectQueue {
  firstPlace: number;
  /** The jobs that were queued at `readAtMs`, and those accepted by this process since then. */
  queued: number;
  readAtMs: number;
  /** The place of the last job that this process accepted; -1 before the first. */
  lastPlace: number;
}

/**
 * The places of new jobs in the queue. A job is behind the first of the queue by as many places as its project has jobs queued. So
 * projects run in turn: the first job of one that has none runs before the second of another, however many that has.
 */
@Injectable()
export class JobPlaces {
  private readonly queues = new Map<number, ProjectQueue>();

  constructor(
    private readonly database: Database,
    maintenance: Maintenance,
  ) {
    maintenance.add(
      { name: 'move the job queue to the front', sql: MOVE_QUEUE },
      { name: 'move late jobs forward', sql: MOVE_LATE_JOBS },
    );
  }

  /** The place of a job that is queued now. Not called in a transaction, because it may use a connection of its own. */
  async next(projectId: number): Promise<number> {
    const known = this.queues.get(projectId);
    const queue =
      known !== undefined && performance.now() - known.readAtMs < FRESH_MS ? known : await this.read(projectId);
    const { firstPlace, lastPlace } = queue;
    let place = firstPlace + Math.min(COUNTED_JOBS, queue.queued++);
    // A project with one job at a time would get the first place again and again, before the second jobs of others.
    if (lastPlace >= place && lastPlace < firstPlace + COUNTED_JOBS) place = lastPlace + 1;
    queue.lastPlace = Math.min(PLACE_MAX, place);
    return queue.lastPlace;
  }

  private async read(projectId: number): Promise<ProjectQueue> {
    type Row = { first_place: number | null; queued: number };
    const [row] = await this.database.retrying(() => this.database.query<Row>(QUEUE, [projectId]));
    const firstPlace = row?.first_place ?? 0;
    const previous = this.queues.get(projectId);
    // Places from before the queue was empty, or was moved, mean nothing.
    const isContinued = row?.first_place != null && previous !== undefined && firstPlace >= previous.firstPlace;
    const queue = {
      firstPlace,
      queued: row?.queued ?? 0,
      readAtMs: performance.now(),
      lastPlace: isContinued ? previous.lastPlace : -1,
    };
    this.queues.delete(projectId);
    const [oldest] = this.queues.keys();
    if (oldest !== undefined && this.queues.size >= PROJECTS_MAX) this.queues.delete(oldest);
    this.queues.set(projectId, queue);
    return queue;
  }
}
