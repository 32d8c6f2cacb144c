/** Identifies a job; also the payload of its entry in graphile-worker's queue. */
export interface JobKey {
  projectId: number;
  jobId: string;
}
