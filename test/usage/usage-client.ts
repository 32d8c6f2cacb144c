import { expect } from '@jest/globals';
import type { Reply, TestApi, TestProject } from '../harness/api.js';

export const NDJSON = { 'Content-Type': 'application/x-ndjson' };
export const MERGE_PATCH = { 'Content-Type': 'application/merge-patch+json' };
export const ROOM = '/buildings/HQ/rooms/lab/temperatures';
export const SPROCKET = { teeth: 5, pitch_diameter: 5, outside_diameter: 6, pitch: 1 };

/** The response of GET /usage. */
export interface UsageBody {
  objects: number;
  bytes: number;
  requests: number;
  limits: { objects: number | null; bytes: number | null };
}

/** A client of one project that knows what the tables hold. */
export class UsageClient {
  constructor(
    readonly api: TestApi,
    readonly project: TestProject,
  ) {}

  static async create(api: TestApi): Promise<UsageClient> {
    return new UsageClient(api, await api.project());
  }

  call(method: string, path: string, body?: unknown, headers: Record<string, string> = {}): Promise<Reply> {
    return this.api.call(method, path, { key: this.project.keys.admin, body, headers });
  }

  /** Sends a request. @throws Error unless the response has one of these statuses */
  async send(statuses: readonly number[], ...request: Parameters<UsageClient['call']>): Promise<Reply> {
    const reply = await this.call(...request);
    if (!statuses.includes(reply.status)) throw new Error(`${request[0]} ${request[1]}: ${reply.text}`);
    return reply;
  }

  async usage(): Promise<UsageBody> {
    const reply = await this.call('GET', '/usage');
    expect([reply.status, reply.text]).toEqual([200, reply.text]);
    return reply.json<UsageBody>();
  }

  /** What the table of objects holds. */
  async stored(): Promise<Pick<UsageBody, 'objects' | 'bytes'>> {
    const [row] = await this.api.db.sql<{ objects: string; bytes: string }>(
      `SELECT count(*) AS objects, coalesce(sum(bytes), 0) AS bytes FROM objects WHERE project_id = $1`,
      [this.project.projectId],
    );
    return { objects: Number(row?.objects), bytes: Number(row?.bytes) };
  }

  /** Fails unless the usage is that of the table of objects. @returns it */
  async expectExact(): Promise<UsageBody> {
    const usage = await this.usage();
    expect(usage).toMatchObject(await this.stored());
    return usage;
  }
}

export interface SentObject {
  object_id: string;
  data: { key: string; value: string }[];
}

/** Objects with data of this length in text. */
export function objectsOf(prefix: string, count: number, length = 10): SentObject[] {
  return Array.from({ length: count }, (_, index) => ({
    object_id: `${prefix}-${String(index)}`,
    data: [{ key: 'text', value: 'x'.repeat(length) }],
  }));
}

/** The bytes of an object of `objectsOf`. */
export function bytesOf({ data }: SentObject): number {
  return Buffer.byteLength(JSON.stringify(data));
}
