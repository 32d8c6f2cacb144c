import { setTimeout as sleep } from 'node:timers/promises';
import type { ProblemDto } from '#http';
import type { WriteRequest } from '#jobs';
import { expect } from '@jest/globals';
import type { TestApi } from '../harness/api.js';

/** A job as the API shows it. */
export interface Job {
  id: string;
  status: string;
  attempts: number;
  created_at: string;
  finished_at: string | null;
  url: string;
  result_status?: number;
  result?: unknown;
  problem?: ProblemDto;
}

/** Sends a request to be run later. @returns the job as it was accepted */
export async function accepted(
  api: TestApi,
  method: string,
  path: string,
  options: { key: string; body: unknown; headers?: Record<string, string> },
): Promise<Job> {
  const headers = { Prefer: 'respond-async', ...options.headers };
  const reply = await api.call(method, path, { ...options, headers });
  expect([reply.status, reply.text]).toEqual([202, reply.text]);
  expect(reply.headers.get('preference-applied')).toBe('respond-async');
  const job = reply.json<Job>();
  expect(reply.headers.get('location')).toBe(job.url);
  return job;
}

export async function read(api: TestApi, key: string, { url }: Pick<Job, 'url'>): Promise<Job> {
  const reply = await api.call('GET', url, { key });
  expect([reply.status, reply.text]).toEqual([200, reply.text]);
  return reply.json<Job>();
}

/** Waits for what is asked to come true. */
export async function until<T>(ask: () => Promise<T | undefined>, withinMs = 20_000): Promise<T> {
  for (const end = Date.now() + withinMs; ;) {
    const answer = await ask();
    if (answer !== undefined) return answer;
    if (Date.now() > end) throw new Error(`did not come true within ${String(withinMs)} ms: ${ask.toString()}`);
    await sleep(20);
  }
}

/** Waits until a job is in this state. */
export function reaches(api: TestApi, key: string, job: Pick<Job, 'url'>, ...statuses: string[]): Promise<Job> {
  return until(async () => {
    const now = await read(api, key, job);
    return statuses.includes(now.status) ? now : undefined;
  });
}

export function ended(api: TestApi, key: string, job: Pick<Job, 'url'>): Promise<Job> {
  return reaches(api, key, job, 'succeeded', 'failed');
}

/** A request for an operation that a test runs itself; received now. */
export function writeRequest(fields: Pick<WriteRequest, 'projectId' | 'body'> & Partial<WriteRequest>): WriteRequest {
  return {
    role: 'producer',
    params: {},
    query: {},
    preconditions: {},
    receivedAtMicros: Date.now() * 1_000,
    requestSeq: '1',
    baseUrl: 'http://localhost/api/v1',
    ...fields,
  };
}
