import { Database } from '#database';
import { Injectable } from '@nestjs/common';
import { Maintenance } from './maintenance.js';

/**
 * The first place of jobs that can run now: the least priority, which graphile-worker takes first. A further attempt keeps its
 * place, which the queue has passed; new jobs placed behind it would overtake those that wait.
 */
const FIRST_PLACE = `
  SELECT min(priority) FROM graphile_worker._private_jobs WHERE is_available AND run_at <= now() AND attempts = 0`;

/** Jobs of a project after these have the same place, in the order of arrival. */
const COUNTED_JOBS = 1_000;

const QUEUE = {
  name: 'job.queue',
  text: `
    SELECT coalesce((${FIRST_PLACE}), 0)::integer AS first_place, (
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
  WHERE (${FIRST_PLACE}) > ${String(Math.floor(PLACE_MAX / 2))}`;

/** How long the state of the queue is used again. Counting it for each job would halve the rate at which jobs are accepted. */
const FRESH_MS = 250;
const PROJECTS_MAX = 1_000;

interface ProjectQueue {
  firstPlace: number;
  /** The jobs that were queued at `readAtMs`, and those accepted by this process since then. */
  queued: number;
  readAtMs: number;
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
    maintenance.add(MOVE_QUEUE);
  }

  /** The place of a job that is queued now. Not called in a transaction, because it may use a connection of its own. */
  async next(projectId: number): Promise<number> {
    const known = this.queues.get(projectId);
    const queue =
      known !== undefined && performance.now() - known.readAtMs < FRESH_MS ? known : await this.read(projectId);
    return Math.min(PLACE_MAX, queue.firstPlace + Math.min(COUNTED_JOBS, queue.queued++));
  }

  private async read(projectId: number): Promise<ProjectQueue> {
    type Row = { first_place: number; queued: number };
    const [row] = await this.database.query<Row>(QUEUE, [projectId]);
    const queue = { firstPlace: row?.first_place ?? 0, queued: row?.queued ?? 0, readAtMs: performance.now() };
    this.queues.delete(projectId);
    const [oldest] = this.queues.keys();
    if (oldest !== undefined && this.queues.size >= PROJECTS_MAX) this.queues.delete(oldest);
    this.queues.set(projectId, queue);
    return queue;
  }
}
