import { setTimeout as sleep } from 'node:timers/promises';
import type { ProblemDto } from '#http';
import type { WriteRequest } from '#jobs';
import { expect } from '@jest/globals';
import type { TestApi } from '../harness/api.js';

/** A job in the JSON format of the API. */
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

/** Sends a request with Prefer: respond-async. @returns the accepted job */
export async function submitJob(
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

export async function getJob(api: TestApi, key: string, { url }: Pick<Job, 'url'>): Promise<Job> {
  const reply = await api.call('GET', url, { key });
  expect([reply.status, reply.text]).toEqual([200, reply.text]);
  return reply.json<Job>();
}

/** Polls until `check` returns a value other than undefined. @throws Error after `withinMs` */
export async function waitFor<T>(check: () => Promise<T | undefined>, withinMs = 20_000): Promise<T> {
  for (const end = Date.now() + withinMs; ;) {
    const value = await check();
    if (value !== undefined) return value;
    if (Date.now() > end) throw new Error(`condition not met within ${String(withinMs)} ms: ${check.toString()}`);
    await sleep(20);
  }
}

/** Waits until a job has one of these statuses. */
export function waitForStatus(api: TestApi, key: string, job: Pick<Job, 'url'>, ...statuses: string[]): Promise<Job> {
  return waitFor(async () => {
    const now = await getJob(api, key, job);
    return statuses.includes(now.status) ? now : undefined;
  });
}

/** Waits until a job has succeeded or failed. */
export function waitForJob(api: TestApi, key: string, job: Pick<Job, 'url'>): Promise<Job> {
  return waitForStatus(api, key, job, 'succeeded', 'failed');
}

/** Builds a request for an operation that a test runs itself. Its time of receipt is now. */
export function writeRequest(fields: Pick<WriteRequest, 'projectId' | 'body'> & Partial<WriteRequest>): WriteRequest {
  return {
    role: 'producer',
    actor: { keyId: '1', role: 'producer', name: 'key', requestId: null, address: null },
    params: {},
    query: {},
    preconditions: {},
    receivedAtMicros: Date.now() * 1_000,
    requestSeq: '1',
    baseUrl: 'http://localhost/api/v1',
    ...fields,
  };
}
