// eslint-disable-next-line no-restricted-imports -- a package of its own, whose source is bundled
import { sendByXhr } from '../../../../clients/typescript/src/xhr.js';
import { parseJson, toJson, type Json } from './json.js';
import type { Problem } from './types.js';

export const API = '/api/v1';

export type Parameters = Readonly<Record<string, string | number | null | undefined>>;

/** A response that is an error, or a request that had no response. */
export class ApiError extends Error {
  constructor(
    readonly problem: Problem,
    options?: ErrorOptions,
  ) {
    super(problem.title, options);
  }
}

/** Calls the API with one key. */
export class Api {
  constructor(private readonly key: string) {}

  /** @throws ApiError */
  async get<T>(path: string, parameters: Parameters = {}, signal?: AbortSignal): Promise<T> {
    return (await this.json(path + queryText(parameters), { signal: signal ?? null })) as T;
  }

  /** The page at a `next` or `previous` URL. @throws ApiError */
  async follow<T>(url: string, signal?: AbortSignal): Promise<T> {
    const { pathname, search } = new URL(url);
    return (await this.json(pathname.slice(API.length) + search, { signal: signal ?? null })) as T;
  }

  /** @throws ApiError */
  async send<T>(method: string, path: string, body?: Json, headers: Record<string, string> = {}): Promise<T> {
    const content = body === undefined ? {} : { body: toJson(body) };
    const type: Record<string, string> = body === undefined ? {} : { 'Content-Type': 'application/json' };
    return (await this.json(path, { method, ...content, headers: { ...type, ...headers } })) as T;
  }

  /**
   * Sends a file by PUT.
   * @param onProgress gets the part of the file that was sent, 0 to 1
   * @throws ApiError
   */
  async upload<T>(
    path: string,
    file: Blob,
    { mediaType, onProgress, signal }: { mediaType: string; onProgress: (sent: number) => void; signal: AbortSignal },
  ): Promise<T> {
    const init = { method: 'PUT', headers: { 'Content-Type': mediaType }, signal };
    const response = await this.request(path, init, sendByXhr(file, onProgress));
    return parseJson(await response.text()) as T;
  }

  /** A response whose status is 200 to 299. @throws ApiError */
  async request(
    path: string,
    init: RequestInit = {},
    send: (request: Request) => Promise<Response> = (request) => fetch(request),
  ): Promise<Response> {
    let response: Response;
    try {
      const headers = { ...init.headers, 'X-Api-Key': this.key };
      response = await send(new Request(API + path, { ...init, headers }));
    } catch (error) {
      if (error instanceof DOMException && error.name === 'AbortError') throw error;
      const title = 'The server does not respond';
      throw new ApiError(
        { type: '', title, status: 0, detail: 'Check that it runs, then try again.' },
        { cause: error },
      );
    }
    if (!response.ok) throw new ApiError(await problemOf(response));
    return response;
  }

  private async json(path: string, init: RequestInit): Promise<Json> {
    const text = await (await this.request(path, init)).text();
    return text === '' ? null : parseJson(text);
  }
}

async function problemOf(response: Response): Promise<Problem> {
  const { status, statusText } = response;
  try {
    return (await response.json()) as Problem;
  } catch {
    return { type: '', title: statusText || 'Error', status };
  }
}

/** Empty, or a query string with its question mark; parameters without a value are left out. */
export function queryText(parameters: Parameters): string {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(parameters)) {
    if (value !== null && value !== undefined && value !== '') query.set(name, String(value));
  }
  return query.size === 0 ? '' : `?${query.toString()}`;
}
