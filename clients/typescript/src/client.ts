import createFetchClient, { type MaybeOptionalInit, type ParseAsResponse } from 'openapi-fetch';
import { connectionError, errorOf, StowageError } from './errors.js';
import type { Json } from './json.js';
import { pagesOf, type AnyPage } from './pages.js';
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
  /** Default: `JSON`, which loses the digits that a JavaScript number cannot hold. */
  json?: Json;
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

/** A response with the status 2xx. */
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

/** The paths that can be read. */
export type GetPath = PathsWith<'get'>;

/** The parameters of a GET request. */
export type GetInit<Path extends GetPath> = MaybeOptionalInit<paths[Path], 'get' & keyof paths[Path]>;

/** The JSON that a GET request returns. */
export type GetData<Path extends GetPath> = Data<Path, 'get', undefined>;

/** A HEAD request with the parameters of GET: the headers of its response, such as the ETag. @throws StowageError */
type Head = <Path extends GetPath, Init extends GetInit<Path>>(
  path: Path,
  ...init: Arguments<Init>
) => Promise<Result<undefined>>;

/** The paths of lists in pages. */
export type ListPath = {
  [Path in GetPath]: GetData<Path> extends AnyPage ? Path : never;
}[GetPath];

/** A page of a list. */
export type Page<Path extends ListPath> = GetData<Path>;

/** An element of a list. */
export type Item<Path extends ListPath> = Page<Path> extends { results: readonly (infer One)[] } ? One : never;

interface AnyInit {
  params?: { header?: object | undefined };
  parseAs?: string;
  signal?: AbortSignal | null;
}

type Send = (path: string, init: AnyInit) => Promise<{ data?: unknown; response: Response }>;

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
  readonly HEAD: Head;
  private readonly fetch: Fetch;
  private readonly json: Json;

  constructor(options: ClientOptions = {}) {
    const { baseUrl = '', key, retries = 3, fetch = (request) => globalThis.fetch(request), json = JSON } = options;
    const client = createFetchClient<paths, 'application/json'>({
      baseUrl,
      fetch: withRetries(fetch, retries),
      bodySerializer: (body) => json.stringify(body),
      // Browsers remove it from a redirect to another origin, unlike X-Api-Key.
      headers: { Authorization: key === undefined ? null : `Bearer ${key}` },
      credentials: 'omit',
    });
    client.use({
      onResponse: async ({ response }) => {
        if (!response.ok) throw await errorOf(response);
      },
      onError: ({ error, request }) => {
        if (request.signal.aborted) return;
        return connectionError(request.url, error);
      },
    });
    this.fetch = fetch;
    this.json = json;
    this.GET = this.callOf(client.GET) as Call<'get'>;
    this.PUT = this.callOf(client.PUT) as Call<'put'>;
    this.POST = this.callOf(client.POST) as Call<'post'>;
    this.PATCH = this.callOf(client.PATCH) as Call<'patch'>;
    this.DELETE = this.callOf(client.DELETE) as Call<'delete'>;
    this.HEAD = client.HEAD as unknown as Head;
  }

  /**
   * The pages of a list, from the one that the parameters select. After an error, `next()` requests the same page again.
   * @throws StowageError
   */
  pages<Path extends ListPath>(
    path: Path,
    ...init: Arguments<GetInit<Path>>
  ): AsyncIterableIterator<Page<Path>, undefined> {
    return this.followPages(path, init[0]) as AsyncIterableIterator<Page<Path>, undefined>;
  }

  /** The elements of a list on all its pages. @throws StowageError */
  list<Path extends ListPath>(path: Path, ...init: Arguments<GetInit<Path>>): AsyncGenerator<Item<Path>, void> {
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
    const upload = await openUpload(source, options, this.fetch, this.json);
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

  /** A method of openapi-fetch, with the `json` of this client. */
  private callOf(method: unknown): unknown {
    const send = method as Send;
    return async (path: string, init: AnyInit = {}): Promise<Result<unknown>> => {
      if (init.parseAs !== undefined && init.parseAs !== 'json') {
        const { data, response } = await send(path, init);
        return { data, response };
      }
      // The stream is left unread, so that the body can be read as text.
      const { data: body, response } = await send(path, { ...init, parseAs: 'stream' });
      const text = body == null ? '' : await textOf(response, init.signal);
      return { data: text === '' ? undefined : this.json.parse(text), response };
    };
  }

  private followPages(path: string, init: AnyInit = {}): AsyncIterableIterator<AnyPage, undefined> {
    const get = async (url: string, ownInit: AnyInit): Promise<AnyPage> => {
      const { data } = await (this.GET as unknown as (path: string, init: AnyInit) => Promise<Result<AnyPage>>)(
        url,
        ownInit,
      );
      return data;
    };
    const { params, ...rest } = init;
    const follow = (url: string): Promise<AnyPage> => {
      // The query of the URL has all parameters. Its host may differ from that of this client, and must not get the key.
      const { pathname, search } = new URL(url);
      return get(pathname + search, { ...rest, params: { header: params?.header } });
    };
    return pagesOf(() => get(path, init), follow);
  }

  private async *followItems(path: string, init?: AnyInit): AsyncGenerator {
    for await (const { results } of this.followPages(path, init)) yield* results;
  }
}

async function textOf(response: Response, signal: AbortSignal | null | undefined): Promise<string> {
  try {
    return await response.text();
  } catch (error) {
    if (signal?.aborted === true) throw error;
    throw connectionError(response.url, error);
  }
}

function problemOf({ problem }: Job): components['schemas']['ProblemDto'] {
  if (problem === undefined) throw new Error('the server returned a failed job without its problem');
  return problem;
}
