import { createHash } from 'node:crypto';
import { get, type IncomingMessage } from 'node:http';
import { buffer } from 'node:stream/consumers';
import type { TestApi } from '../harness/api.js';

/** A whole export with its trailers, which `fetch` does not return. */
export interface Export {
  status: number;
  headers: IncomingMessage['headers'];
  body: Buffer;
  trailers: IncomingMessage['trailers'];
}

/** Starts an export, and does not read it. @param query with its question mark */
export function startExport(
  api: TestApi,
  key: string,
  query = '',
  headers: Record<string, string> = {},
): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    const url = `${api.origin}/api/v1/objects/export${query}`;
    get(url, { headers: { 'X-Api-Key': key, ...headers } }, resolve).on('error', reject);
  });
}

/** Reads a whole export. */
export async function readExport(
  api: TestApi,
  key: string,
  query = '',
  headers: Record<string, string> = {},
): Promise<Export> {
  const response = await startExport(api, key, query, headers);
  const body = await buffer(response);
  return { status: response.statusCode ?? 0, headers: response.headers, body, trailers: response.trailers };
}

/** The trailers that an export with these bytes, without a last line, must have. */
export function trailersOf(bytes: Buffer | string, count: number): IncomingMessage['trailers'] {
  return { 'export-count': String(count), 'export-sha256': createHash('sha256').update(bytes).digest('hex') };
}

/** The lines of an NDJSON export without the last one, after checking that it and the trailers are right. */
export function wholeLines({ status, body, trailers }: Export): string[] {
  const text = body.toString();
  const lines = text.trimEnd().split('\n');
  const last = lines.pop() ?? '';
  const expected = trailersOf(text.slice(0, text.length - last.length - 1), lines.length);
  const { count, sha256 } = (JSON.parse(last) as { export: { count: number; sha256: string } }).export;
  const stated = { 'export-count': String(count), 'export-sha256': sha256 };
  if (status !== 200) throw new Error(text);
  for (const found of [trailers, stated]) {
    if (JSON.stringify(found) !== JSON.stringify(expected)) {
      throw new Error(`the export is not whole: ${JSON.stringify({ found, expected })}`);
    }
  }
  return lines;
}
