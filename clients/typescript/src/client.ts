import createFetchClient, { type MaybeOptionalInit, type ParseAsResponse } from 'openapi-fetch';
import { errorOf, StowageError } from './errors.js';
import { sleep, withRetries, type Fetch } from './retry.js';
import type { components, paths } from './schema.js';
import { openUpload, type UploadOptions, type UploadSource } from './upload.js';

export interface ClientOptions {
  /** The server, such as `http://127.0.0.1:8000`. Default: in a browser, the origin of the page. */
  baseUrl?: string;
  /** The API key; resources such as `/api/v1/limits` need none. */
  key?: string;
  /** How often a request that may be repeated is sent again after 429 or 503, each time after Retry-After. Default 3. */
  retries?: number;
  /** Sends all requests. Default: the global `fetch`. */
  fetch?: Fetch;
}

export interface WaitOptions {
  /** Ends the waiting, not the job. `AbortSignal.timeout(ms)` bounds the time. */
  signal?: AbortSignal;
}

type Method = 'get' | 'put' | 'post' | 'patch' | 'delete';
type Job = components['schemas']['JobDto'];

type PathsWith<M extends Method> = {
  [Path in keyof paths]: paths[Path] extends Record<M, object> ? Path : never;
}[keyof paths];

type Operation<Path extends keyof paths, M extends Method> = paths[Path][M & keyof paths[Path]];

type JsonOf<Response> = Response extends { content: { 'application/json': infer Json } } ? Json : undefined;

type SuccessOf<Op> = Op extends { responses: infer Responses }
  ? { [Status in keyof Responses]: JsonOf<Responses[Status]> }[keyof Responses]
  : never;

/** The body of a successful response: JSON, undefined without one, or what `parseAs` selects. The document has no other responses. */
type Data<Path extends keyof paths, M extends Method, Init> = ParseAsResponse<SuccessOf<Operation<Path, M>>, Init>;

/** A successful response. */
export interface Result<T> {
  data: T;
  response: Response;
}

/** The parameters and the body of a request: optional where none of them is required. */
type Arguments<Init> = undefined extends Init ? [init?: Init] : [init: Init];

/** A request as in openapi-fetch, except that an error response is thrown. @throws StowageError */
type Call<M extends Method> = <
  Path extends PathsWith<M>,
  Init extends MaybeOptionalInit<paths[Path], M & keyof paths[Path]>,
>(
  path: Path,
  ...init: Arguments<Init>
) => Promise<Result<Data<Path, M, Init>>>;

/** The paths of lists in pages. */
export type ListPath = {
  [Path in PathsWith<'get'>]: Data<Path, 'get', undefined> extends AnyPage ? Path : never;
}[PathsWith<'get'>];

/** A page of a list. */
export type Page<Path extends ListPath> = Data<Path, 'get', undefined>;

/** An element of a list. */
export type Item<Path extends ListPath> = Page<Path> extends { results: readonly (infer One)[] } ? One : never;

type ListArguments<Path extends ListPath> = Arguments<MaybeOptionalInit<paths[Path], 'get' & keyof paths[Path]>>;

interface AnyPage {
  next: string | null;
  results: readonly unknown[];
}

interface ListInit {
  params?: { header?: object | undefined };
}

/** How long `waitForJob` waits before it asks again, in milliseconds: first, and at most. */
const POLL_MS = 100;
const POLL_MAX_MS = 2_000;

/** The API with one key. Requests are those of the OpenAPI document, such as `GET('/api/v1/objects')`. */
export class StowageClient {
  readonly GET: Call<'get'>;
  readonly PUT: Call<'put'>;
  readonly POST: Call<'post'>;
  readonly PATCH: Call<'patch'>;
  readonly DELETE: Call<'delete'>;
  private readonly fetch: Fetch;

  constructor({ baseUrl = '', key, retries = 3, fetch = (request) => globalThis.fetch(request) }: ClientOptions = {}) {
    const client = createFetchClient<paths, 'application/json'>({
      baseUrl,
      fetch: withRetries(fetch, retries),
      // Browsers remove it from a redirect to another origin, unlike X-Api-Key.
      headers: { Authorization: key === undefined ? null : `Bearer ${key}` },
      credentials: 'omit',
    });
    client.use({
      onResponse: async ({ response }) => {
        if (!response.ok) throw await errorOf(response);
      },
    });
    this.fetch = fetch;
    this.GET = client.GET as Call<'get'>;
    this.PUT = client.PUT as Call<'put'>;
    this.POST = client.POST as Call<'post'>;
    this.PATCH = client.PATCH as Call<'patch'>;
    this.DELETE = client.DELETE as Call<'delete'>;
  }

  /** The pages of a list, from the one that the parameters select. @throws StowageError */
  pages<Path extends ListPath>(path: Path, ...init: ListArguments<Path>): AsyncGenerator<Page<Path>, void> {
    return this.followPages(path, init[0]) as AsyncGenerator<Page<Path>, void>;
  }

  /** The elements of a list on all its pages. @throws StowageError */
  list<Path extends ListPath>(path: Path, ...init: ListArguments<Path>): AsyncGenerator<Item<Path>, void> {
    return this.followItems(path, init[0]) as AsyncGenerator<Item<Path>, void>;
  }

  /**
   * Stores a batch of any length by `PUT /batches/{batch_id}`, as NDJSON or CSV. It is stored completely or not at all. It is not
   * repeated after an error; the same batch can be sent again.
   * @throws StowageError with errors such as `/lines/7/data`; the error of the source
   */
  async uploadBatch(
    batchId: string,
    source: UploadSource,
    options: UploadOptions = {},
  ): Promise<Data<'/api/v1/batches/{batch_id}', 'put', undefined>> {
    const { params, mediaType = 'application/x-ndjson', gzip = false, signal } = options;
    const upload = await openUpload(source, options, this.fetch);
    const init = {
      params: { ...params, path: { batch_id: batchId } },
      headers: { 'Content-Type': mediaType, ...(gzip ? { 'Content-Encoding': 'gzip' } : {}) },
      body: upload.body as never,
      bodySerializer: (body: unknown) => body,
      fetch: upload.send,
      // The response is read when the body has been sent.
      duplex: 'half' as const,
      signal: signal ?? null,
    };
    try {
      return (await this.PUT('/api/v1/batches/{batch_id}', init)).data;
    } catch (error) {
      throw upload.sourceError() ?? error;
    }
  }

  /**
   * Waits until a job has ended.
   * @returns the job, with the result that the request would have had
   * @throws StowageError with the problem of a job that failed
   */
  async waitForJob(jobId: string, { signal }: WaitOptions = {}): Promise<Job> {
    for (let waitMs = POLL_MS; ; waitMs = Math.min(waitMs * 1.5, POLL_MAX_MS)) {
      const { data: job } = await this.GET('/api/v1/jobs/{job_id}', {
        params: { path: { job_id: jobId } },
        signal: signal ?? null,
      });
      if (job.status === 'succeeded') return job;
      if (job.status === 'failed') throw new StowageError(problemOf(job));
      await sleep(waitMs, signal);
    }
  }

  private async *followPages(path: string, init: ListInit = {}): AsyncGenerator<AnyPage, void> {
    const get = this.GET as unknown as (path: string, init: ListInit) => Promise<Result<AnyPage>>;
    const { params, ...rest } = init;
    let { data } = await get(path, init);
    for (;;) {
      yield data;
      if (data.next === null) return;
      // Its query has all parameters. Its host may differ from that of this client, and must not get the key.
      const { pathname, search } = new URL(data.next);
      ({ data } = await get(pathname + search, { ...rest, params: { header: params?.header } }));
    }
  }

  private async *followItems(path: string, init?: ListInit): AsyncGenerator {
    for await (const { results } of this.followPages(path, init)) yield* results;
  }
}

function problemOf({ problem }: Job): components['schemas']['ProblemDto'] {
  if (problem === undefined) throw new Error('the server returned a failed job without its problem');
  return problem;
}
