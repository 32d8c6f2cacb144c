import type { Json } from '../api/json.js';
import type { Problem } from '../api/types.js';

export const JOB_STATUSES = ['queued', 'running', 'succeeded', 'failed'] as const;
export type JobStatus = (typeof JOB_STATUSES)[number];

export interface Job {
  id: string;
  status: JobStatus;
  attempts: number;
  created_at: string;
  finished_at: string | null;
  result_status?: number;
  problem?: Problem;
  /** Only of one job, not in a list. */
  result?: Json;
}

/** Whether the job can end without a retry. */
export function isOpen({ status }: Job): boolean {
  return status === 'queued' || status === 'running';
}
