import { setTimeout as sleep } from 'node:timers/promises';
import { ApiClient, type ApiReply } from './api-client.js';
import type { BatchFile } from './batch-file.js';
import type { ClientSettings } from './client-settings.js';
import { SourceError } from './load-source.js';
import { mistakesOf, type Mistake, type Mistakes, type ProblemAnswer } from './problem-answer.js';

const POLL_MS = 100;
const POLL_MAX_MS = 2_000;

/** How batches are to be stored. */
export interface StoreOptions {
  /** What to do with a batch that exists with other content; undefined refuses it. */
  onConflict: 'replace' | 'skip' | undefined;
  /** Store the good objects of a batch, and report the others. */
  isPartial: boolean;
  /** Only tell what would happen. */
  isDryRun: boolean;
  /** Let the server store it later, and wait for that. */
  isAsync: boolean;
}

/** What became of a batch. */
export interface LoadOutcome extends Mistakes {
  /**
   * changed: it was there with other content, and was replaced or added to. kept: it was there, and whether it changed the
   * server does not tell.
   */
  kind: 'stored' | 'already' | 'changed' | 'kept' | 'rejected';
  /** How many objects the batch has, or in part how many of those sent are stored. */
  objects: number;
  /** How many objects of a feed's file, some of which are new, were there already. */
  oldObjects: number;
  /** How many objects of a batch that is stored were left out. */
  rejectedObjects: number;
}

/** The members of the answers to a batch: of a whole one, of a part, of a feed's file, of a dry run, of a refusal. */
interface BatchAnswer extends ProblemAnswer {
  object_count: number;
  stored: number;
  rejected: number;
  unchanged: number;
  would: 'create' | 'nothing' | 'replace' | 'extend';
}

interface JobAnswer {
  id: string;
  status: 'queued' | 'running' | 'succeeded' | 'failed';
  /** 200, 201 or 207: what the request would have been answered with. */
  result_status: number;
  result: Partial<BatchAnswer>;
  problem: ProblemAnswer;
}

type BatchReply = ApiReply<Partial<BatchAnswer>>;

const KINDS = { create: 'stored', nothing: 'already', replace: 'changed', extend: 'changed' } as const;

/** Puts batches on a server. @throws UsageError when the server cannot be reached, or the key may not put them */
export class BatchClient {
  private readonly api: ApiClient;
  private bodyLimitBytes = Infinity;

  constructor(
    settings: ClientSettings,
    private readonly options: StoreOptions,
    say: (line: string) => void,
  ) {
    this.api = new ApiClient(settings, say);
  }

  /** Asks for the limits, and whether the key may write, before anything large is sent. */
  async open(signal: AbortSignal): Promise<void> {
    const limits = await this.api.send<{ body_limit_bytes: number }>({ method: 'GET', path: '/limits' }, signal);
    if (limits.body.body_limit_bytes === undefined) throw this.api.refusal(limits);
    this.bodyLimitBytes = limits.body.body_limit_bytes;
    // It is refused, for it holds nothing; but by a key that may not write, for that.
    const headers = { 'Content-Type': 'application/json' };
    await this.api.send({ method: 'POST', path: '/batches', headers }, signal);
  }

  /** Stores the batch; one that is there already, the same, is no mistake. @throws SourceError */
  async put(file: BatchFile, signal: AbortSignal): Promise<LoadOutcome> {
    const limit = this.bodyLimitBytes;
    const { mediaType, feed } = file.content;
    if (mediaType === 'application/json' && file.encoding === undefined && file.sizeBytes > limit) {
      const figures = `${file.sizeBytes.toLocaleString('en')} bytes, and BODY_LIMIT_BYTES is ${limit.toLocaleString('en')}`;
      return rejected([
        {
          pointer: '',
          detail: `Over a limit: the batch has ${figures}; ${feed ? 'split it' : 'as NDJSON it may have any length'}`,
        },
      ]);
    }
    if (feed !== undefined) return this.post(file, feed, signal);
    const { onConflict, isDryRun } = this.options;
    // First without: the answer to the other request does not tell a batch that was there already from a replaced one.
    const asksFirst = onConflict === 'replace' && file.isRepeatable && !isDryRun;
    if (!asksFirst) return outcomeOf(await this.deliver(file, onConflict, signal), onConflict && 'kept');
    const reply = await this.deliver(file, undefined, signal);
    if (reply.status !== 409) return outcomeOf(reply, 'already');
    return outcomeOf(await this.deliver(file, onConflict, signal), 'changed');
  }

  /** Hands a feed its file, which it stores once, however often it is sent. */
  private async post(file: BatchFile, feed: string, signal: AbortSignal): Promise<LoadOutcome> {
    const { isDryRun, isPartial, onConflict } = this.options;
    const flags = { '--dry-run': isDryRun, '--partial': isPartial, '--on-conflict': onConflict !== undefined };
    const given = Object.entries(flags).flatMap(([flag, isGiven]) => (isGiven ? [flag] : []));
    if (given.length > 0) throw new SourceError(`holds ${feed}, which take no ${given.join(' and no ')}`);
    return outcomeOf(await this.request(file, 'POST', `/${feed}`, signal));
  }

  private deliver(file: BatchFile, onConflict: string | undefined, signal: AbortSignal): Promise<BatchReply> {
    const query = new URLSearchParams({
      ...(onConflict !== undefined && { on_conflict: onConflict }),
      ...(this.options.isPartial && { mode: 'partial' }),
      ...(this.options.isDryRun && { dry_run: 'true' }),
    });
    const path = `/batches/${pathPart(file.content.batchId)}${query.size > 0 ? `?${query.toString()}` : ''}`;
    return this.request(file, 'PUT', path, signal);
  }

  private async request(file: BatchFile, method: string, path: string, signal: AbortSignal): Promise<BatchReply> {
    const { encoding, isRepeatable } = file;
    const headers = {
      'Content-Type': file.content.mediaType,
      ...(encoding !== undefined && { 'Content-Encoding': encoding }),
      ...(this.options.isAsync && { Prefer: 'respond-async' }),
    };
    const request = { method, path, headers, isRepeatable, body: () => file.bytes() };
    const reply = await this.api.send<BatchAnswer & { id: string }>(request, signal);
    return reply.status === 202 ? this.awaitJob(reply.body.id ?? '', signal) : reply;
  }

  /** @returns what the request would have been answered with at once */
  private async awaitJob(id: string, signal: AbortSignal): Promise<BatchReply> {
    for (let waitMs = POLL_MS; ; waitMs = Math.min(waitMs * 1.5, POLL_MAX_MS)) {
      await sleep(waitMs, undefined, { signal });
      const reply = await this.api.send<JobAnswer>({ method: 'GET', path: `/jobs/${pathPart(id)}` }, signal);
      const { status, result = {}, result_status: resultStatus, problem = {} } = reply.body;
      if (status === undefined) throw this.api.refusal(reply);
      if (status === 'failed') return { ...reply, status: problem.status ?? 500, body: problem };
      if (status !== 'succeeded') continue;
      // Of one that is stored in part, a job keeps no Location: it is counted as new, by the objects that it now has.
      return { ...reply, status: resultStatus === 200 ? 200 : 201, body: result };
    }
  }
}

/** @param old what it is when it was there before */
function outcomeOf(
  { status, statusLine, location, body }: BatchReply,
  old: LoadOutcome['kind'] = 'already',
): LoadOutcome {
  if (status >= 300) return { ...rejected([]), ...mistakesOf(body, statusLine) };
  const { would, rejected: rejectedObjects = 0, object_count: count = 0, stored = count, unchanged = 0 } = body;
  const isNew = status === 201 || location !== undefined;
  const kind = would !== undefined ? KINDS[would] : isNew ? 'stored' : old;
  const left = rejectedObjects > 0 ? mistakesOf(body, statusLine) : { mistakes: [], unlisted: 0 };
  const isOld = stored === 0 && unchanged > 0;
  const figures = isOld ? { objects: unchanged, oldObjects: 0 } : { objects: stored, oldObjects: unchanged };
  return { kind, ...figures, rejectedObjects, ...left };
}

function rejected(mistakes: readonly Mistake[]): LoadOutcome {
  return { kind: 'rejected', objects: 0, oldObjects: 0, rejectedObjects: 0, mistakes, unlisted: 0 };
}

/** Also the ids `.` and `..`, which are folders in an address. */
function pathPart(id: string): string {
  return encodeURIComponent(id).replaceAll('.', '%2E');
}
