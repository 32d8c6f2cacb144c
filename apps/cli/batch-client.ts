import { setTimeout as sleep } from 'node:timers/promises';
import { Readable } from 'node:stream';
import { ApiClient, type ApiRequest, type ApiResponse } from './api-client.js';
import type { BatchFile, RequestBody } from './batch-file.js';
import type { ClientSettings } from './client-settings.js';
import { SourceError } from './load-source.js';
import { parseErrors, type LoadErrors, type ProblemBody } from './problem-response.js';

const POLL_MS = 100;
const POLL_MAX_MS = 2_000;
/** `{"data":{}},`: no object takes fewer bytes in a JSON batch, but for the last, which needs no comma. */
const OBJECT_BYTES_MIN = 12;

/** How batches are stored. */
export interface StoreOptions {
  /** What to do with a batch that exists with other content; undefined rejects it. */
  onConflict: 'replace' | 'skip' | undefined;
  /** Store the valid objects of a batch and report the others. */
  isPartial: boolean;
  /** Only report what would happen. */
  isDryRun: boolean;
  /** Have the server store each batch as a job, and wait for the job. */
  isAsync: boolean;
}

/** The result of sending one batch. */
export interface BatchResult extends LoadErrors {
  /**
   * `unchanged`: the batch existed with the same content, or no object was new. `changed`: it existed with other content and was
   * replaced. `extended`: it existed, and got objects. `unchangedOrChanged`: it existed, and the response does not show whether it
   * was changed. `notCompared`: it existed with as many objects, and was not sent.
   */
  kind: 'stored' | 'unchanged' | 'changed' | 'extended' | 'unchangedOrChanged' | 'notCompared' | 'rejected';
  /** Objects of the batch; for a partial load, and with `skip`, those that are stored. */
  objectCount: number;
  /** Objects that `skip` left out, because their ids exist. */
  skippedCount: number;
  /** Objects of a feed's file that existed, when others of the same file are new. */
  existingCount: number;
  /** Objects that were left out of a batch that is stored. */
  rejectedCount: number;
}

/** The counts of a result without a request. */
export const NOTHING_SENT = {
  objectCount: 0,
  skippedCount: 0,
  existingCount: 0,
  rejectedCount: 0,
  errors: [],
  unlistedCount: 0,
} as const;

/** The result of sending a part of a batch. */
export interface PartResult extends BatchResult {
  batchCount: number | undefined;
}

/** The members of all responses to a batch: stored, partially stored, a feed's file, a dry run, a problem. */
interface BatchBody extends ProblemBody {
  object_count: number;
  stored: number;
  rejected: number;
  unchanged: number;
  /** Only with `on_conflict=skip`. */
  skipped: number;
  /** What a request without `dry_run` would do. */
  outcome: 'create' | 'none' | 'replace' | 'extend';
}

interface JobBody {
  id: string;
  status: 'queued' | 'running' | 'succeeded' | 'failed';
  /** The status of the response to the same request without `respond-async`: 200, 201 or 207. */
  result_status: number;
  result: Partial<BatchBody>;
  problem: ProblemBody;
}

interface LimitsBody {
  body_limit_bytes: number;
  batch_objects_max: number;
}

type BatchResponse = ApiResponse<Partial<BatchBody>>;

const DRY_RUN_KINDS = { create: 'stored', none: 'unchanged', replace: 'changed', extend: 'extended' } as const;

/** Stores batches on a server. @throws UsageError when the server cannot be reached or does not accept the key */
export class BatchClient {
  private readonly api: ApiClient;
  private bodyLimitBytes = Infinity;
  private batchObjectsMax = Infinity;
  private mayRead = false;
  /** Batch files that the server rejected as JSON because they exceed a limit. */
  private readonly overLimit = new WeakSet<BatchFile>();

  constructor(
    settings: ClientSettings,
    private readonly options: StoreOptions,
    printMessage: (line: string) => void,
  ) {
    this.api = new ApiClient(settings, printMessage);
  }

  /** Reads the limits of the server, and checks that the key may write before a large body is sent. */
  async open(signal: AbortSignal): Promise<void> {
    const limits = await this.api.send<LimitsBody>({ method: 'GET', path: '/limits' }, signal);
    const { body_limit_bytes: bodyLimitBytes, batch_objects_max: batchObjectsMax } = limits.body;
    if (bodyLimitBytes === undefined || batchObjectsMax === undefined) throw this.api.toUsageError(limits);
    this.bodyLimitBytes = bodyLimitBytes;
    this.batchObjectsMax = batchObjectsMax;
    const { role } = (await this.api.send<{ role: string }>({ method: 'GET', path: '/me' }, signal)).body;
    this.mayRead = role === 'admin' || role === 'analyst';
    // The server rejects this request in any case, because it has no body; 401 or 403 if the key may not write.
    const headers = { 'Content-Type': 'application/json' };
    await this.api.send({ method: 'POST', path: '/batches', headers }, signal);
  }

  /** Stores the batch. A batch that exists with the same content is not an error. @throws SourceError */
  async put(file: BatchFile, signal: AbortSignal): Promise<BatchResult> {
    const { feed } = file.content;
    if (feed !== undefined) return this.postToFeed(file, feed, signal);
    const { onConflict, isDryRun } = this.options;
    // The response to a replacing request does not show whether the batch was changed. The first request, without
    // on_conflict, does: it returns 409 for a batch with other content.
    const isSentTwice = onConflict === 'replace' && file.isRepeatable && !isDryRun;
    if (!isSentTwice) {
      return toResult(await this.putBatch(file, onConflict, signal), onConflict && 'unchangedOrChanged');
    }
    const response = await this.putBatch(file, undefined, signal);
    if (response.status !== 409) return toResult(response, 'unchanged');
    return toResult(await this.putBatch(file, onConflict, signal), 'changed');
  }

  /**
   * Stores objects that are in memory.
   * @param lines whole lines, with their line feeds
   * @param onConflict `skip` for a part of a batch
   * @returns batchCount: all objects of the batch after the request; undefined where the response does not state it
   */
  async putLines(
    batchId: string,
    lines: readonly Buffer[],
    onConflict: StoreOptions['onConflict'],
    signal: AbortSignal,
  ): Promise<PartResult> {
    const request = {
      method: 'PUT',
      path: this.pathOf(batchId, onConflict),
      headers: this.headersOf('application/x-ndjson'),
      openBody: () => Promise.resolve(Readable.from(lines, { objectMode: false })),
    };
    const response = await this.sendRequest(request, signal);
    // After a dry run, the objects of earlier parts are not in the batch.
    const batchCount = this.options.isDryRun ? undefined : response.body.object_count;
    return { ...toResult(response, onConflict && 'unchangedOrChanged'), batchCount };
  }

  /** The number of objects of a batch; undefined where there is none, or where the key may not read. */
  async countOf(batchId: string, signal: AbortSignal): Promise<number | undefined> {
    if (!this.mayRead) return undefined;
    const query = new URLSearchParams({ batch_id: batchId, page_size: '1', count: 'none' });
    const path = `/batches?${query.toString()}`;
    const { body } = await this.api.send<{ results: { object_count: number }[] }>({ method: 'GET', path }, signal);
    return body.results?.[0]?.object_count;
  }

  /** The batch that has an object; undefined where none does. */
  async batchOf(objectId: string, signal: AbortSignal): Promise<string | undefined> {
    const path = `/objects/${encodeURIComponent(objectId)}?fields=batch_id`;
    const { body } = await this.api.send<{ batch_id: string }>({ method: 'GET', path }, signal);
    return body.batch_id;
  }

  /** Sends a file to its feed. Sending it again does not store it twice. */
  private async postToFeed(file: BatchFile, feed: string, signal: AbortSignal): Promise<BatchResult> {
    const { isDryRun, isPartial, onConflict } = this.options;
    const flags = { '--dry-run': isDryRun, '--partial': isPartial, '--on-conflict': onConflict !== undefined };
    const given = Object.entries(flags).flatMap(([flag, isGiven]) => (isGiven ? [flag] : []));
    if (given.length > 0) throw new SourceError(`contains ${feed}, which cannot be used with ${given.join(', ')}`);
    const { encoding, sizeBytes = 0 } = file;
    if (encoding === undefined && sizeBytes > this.bodyLimitBytes) {
      const size = `${sizeBytes.toLocaleString('en')} bytes`;
      const limit = this.bodyLimitBytes.toLocaleString('en');
      throw new SourceError(`has ${size}, which exceeds BODY_LIMIT_BYTES, ${limit}; split it`);
    }
    return toResult(await this.send(file, file.body, 'POST', `/${feed}`, signal));
  }

  /** Sends a batch file as NDJSON if it exceeds the limits of a JSON batch; any other file as it is. */
  private async putBatch(
    file: BatchFile,
    onConflict: StoreOptions['onConflict'],
    signal: AbortSignal,
  ): Promise<BatchResponse> {
    const path = this.pathOf(file.content.batchId, onConflict);
    const { ndjsonBody, content } = file;
    if (content.documents !== undefined) {
      const response = await this.send(file, file.body, 'PUT', path, signal);
      return withPointers(response, (line) => file.pointerTo(line));
    }
    if (ndjsonBody === undefined) return this.send(file, file.body, 'PUT', path, signal);
    if (!this.mayBeOverLimit(file)) {
      const response = await this.send(file, file.body, 'PUT', path, signal);
      if (response.status !== 413) return response;
      this.overLimit.add(file);
    }
    const response = await this.send(file, ndjsonBody, 'PUT', path, signal);
    return withPointers(response, (line) => `/objects/${String(line - 1)}`);
  }

  private pathOf(batchId: string, onConflict: StoreOptions['onConflict']): string {
    const query = new URLSearchParams({
      ...(onConflict !== undefined && { on_conflict: onConflict }),
      ...(this.options.isPartial && { mode: 'partial' }),
      ...(this.options.isDryRun && { dry_run: 'true' }),
    });
    return `/batches/${encodeURIComponent(batchId)}${query.size > 0 ? `?${query.toString()}` : ''}`;
  }

  private headersOf(mediaType: string, encoding?: string): Record<string, string> {
    return {
      'Content-Type': mediaType,
      ...(encoding !== undefined && { 'Content-Encoding': encoding }),
      ...(this.options.isAsync && { Prefer: 'respond-async' }),
    };
  }

  private mayBeOverLimit(file: BatchFile): boolean {
    if (this.overLimit.has(file)) return true;
    // The size of a download or of the content of a compressed file is unknown; the server responds 413 if it is too large.
    const { encoding, sizeBytes = 0 } = file;
    return encoding === undefined && sizeBytes > Math.min(this.bodyLimitBytes, this.batchObjectsMax * OBJECT_BYTES_MIN);
  }

  private async send(
    file: BatchFile,
    body: RequestBody,
    method: string,
    path: string,
    signal: AbortSignal,
  ): Promise<BatchResponse> {
    const headers = this.headersOf(body.mediaType, body.encoding);
    const request = { method, path, headers, isRepeatable: file.isRepeatable, openBody: () => body.open() };
    return this.sendRequest(request, signal);
  }

  private async sendRequest(request: ApiRequest, signal: AbortSignal): Promise<BatchResponse> {
    const response = await this.api.send<BatchBody & { id: string }>(request, signal);
    return response.status === 202 ? this.waitForJob(response.body.id ?? '', signal) : response;
  }

  /** @returns the response that the request would have had without `respond-async` */
  private async waitForJob(id: string, signal: AbortSignal): Promise<BatchResponse> {
    for (let waitMs = POLL_MS; ; waitMs = Math.min(waitMs * 1.5, POLL_MAX_MS)) {
      await sleep(waitMs, undefined, { signal });
      const response = await this.api.send<JobBody>({ method: 'GET', path: `/jobs/${encodeURIComponent(id)}` }, signal);
      const { status, result = {}, result_status: resultStatus, problem = {} } = response.body;
      if (status === undefined) throw this.api.toUsageError(response);
      if (status === 'failed') return { ...response, status: problem.status ?? 500, body: problem };
      if (status !== 'succeeded') continue;
      // The result of a job has no Location, so a partially stored batch counts as new.
      return { ...response, status: resultStatus === 200 ? 200 : 201, body: result };
    }
  }
}

/** @param existingKind the kind of a batch that existed before the request */
function toResult(
  { status, statusLine, location, body }: BatchResponse,
  existingKind: BatchResult['kind'] = 'unchanged',
): BatchResult {
  if (status >= 300) {
    return { ...NOTHING_SENT, kind: 'rejected', ...parseErrors(body, statusLine) };
  }
  const {
    outcome,
    rejected: rejectedCount = 0,
    skipped,
    object_count: count = 0,
    stored = count,
    unchanged = 0,
  } = body;
  const isNew = status === 201 || location !== undefined;
  const ofExisting = skipped === undefined ? existingKind : stored > 0 ? 'extended' : 'unchanged';
  const kind = outcome !== undefined ? DRY_RUN_KINDS[outcome] : isNew ? 'stored' : ofExisting;
  const errors = rejectedCount > 0 ? parseErrors(body, statusLine) : { errors: [], unlistedCount: 0 };
  const allExisted = stored === 0 && unchanged > 0;
  const counts = allExisted
    ? { objectCount: unchanged, existingCount: 0 }
    : { objectCount: stored, existingCount: unchanged };
  return { kind, ...counts, skippedCount: skipped ?? 0, rejectedCount, ...errors };
}

/** Changes the pointers to lines of an NDJSON request to pointers into the file. */
function withPointers(response: BatchResponse, pointerTo: (line: number) => string): BatchResponse {
  const { errors } = response.body;
  if (errors === undefined) return response;
  const changed = errors.map((error) => ({
    ...error,
    ...(error.pointer !== undefined && {
      pointer: error.pointer.replace(/^\/lines\/(\d+)/, (_, line) => pointerTo(Number(line))),
    }),
  }));
  return { ...response, body: { ...response.body, errors: changed } };
}
