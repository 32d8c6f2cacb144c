import type { Reply, TestApi } from '../harness/api.js';

/** The wire format of bodies, for the tests of batches and objects. */
export type Scalar = string | number | boolean | null;

export interface PairBody {
  key: string;
  value: Scalar;
}

interface NestedBody {
  object_id: string;
  data: PairBody[];
  subject?: string;
  observed_at?: string;
}

export interface ObjectBody extends NestedBody {
  batch_id: string;
  observed_at: string;
}

export interface BatchBody {
  batch_id: string;
  object_count: number;
  created_at: string;
  url: string;
  objects_url: string;
  objects?: NestedBody[];
  objects_next?: string | null;
}

export interface WholeBatchBody {
  batch_id: string;
  objects: NestedBody[];
}

export interface PageBody<T> {
  count: number | null;
  count_is?: string;
  next: string | null;
  previous: string | null;
  results: T[];
}

export interface ProblemBody {
  type: string;
  status: number;
  detail: string;
  errors?: { pointer?: string; parameter?: string; detail: string }[];
  error_count?: number;
  error_count_is?: 'at_least';
  object_count?: number;
}

/** The locations that a problem names: pointers into the body, or parameters. */
export function places(reply: Reply): string[] {
  return (reply.json<ProblemBody>().errors ?? []).map((error) => error.pointer ?? error.parameter ?? '');
}

export function kindOf(reply: Reply): string {
  return `${String(reply.status)} ${reply.json<ProblemBody>().type.split('#')[1] ?? ''}`;
}

/** A URL with percent-encoded parameters. */
export function address(path: string, parameters: Record<string, string>): string {
  return `${path}?${new URLSearchParams(parameters).toString()}`;
}

/** Reads all pages from a URL on, following `next`; throws on any other response. */
export async function pagesFrom<T>(api: TestApi, key: string, start: string): Promise<PageBody<T>[]> {
  const pages: PageBody<T>[] = [];
  for (let url: string | null = start; url !== null; url = pages.at(-1)?.next ?? null) {
    const reply = await api.call('GET', url, { key });
    if (reply.status !== 200) throw new Error(`${url} answered ${String(reply.status)}: ${reply.text}`);
    pages.push(reply.json<PageBody<T>>());
    if (pages.length > 10_000) throw new Error(`${start} has no last page`);
  }
  return pages;
}

/** The results of all pages of a list. */
export async function allOf<T>(api: TestApi, key: string, start: string): Promise<T[]> {
  return (await pagesFrom<T>(api, key, start)).flatMap((page) => page.results);
}

/** Stores a batch; throws if that fails. For tests of other behaviour. */
export async function postBatch(api: TestApi, key: string, batchId: string, objects: unknown[]): Promise<void> {
  const reply = await api.call('POST', '/batches', { key, body: { batch_id: batchId, objects } });
  if (reply.status !== 201) throw new Error(`${batchId} was not stored: ${reply.text}`);
}

/** `text`, truncated where `example` from a document ends with an ellipsis. */
export function abbreviatedLike(example: string, text: string): string {
  return example.endsWith('…') ? `${text.slice(0, example.length - 1)}…` : text;
}
