import type { Schemas } from '../api/client.js';

/** A job of a list. */
export type ListedJob = Schemas['JobItemDto'];
export type Job = Schemas['JobDto'];
export type JobStatus = Job['status'];

export const JOB_STATUSES: readonly JobStatus[] = ['queued', 'running', 'succeeded', 'failed'];

/** Whether the job can end without a retry. */
export function isOpen({ status }: ListedJob): boolean {
  return status === 'queued' || status === 'running';
}
