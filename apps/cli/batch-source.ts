import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';

/** One batch file that is to be loaded. */
export interface BatchSource {
  /** As the user knows it: the path as given, or the URL. */
  readonly name: string;
  /** 0 where only reading tells. */
  readonly sizeBytes: number;
  /** Found in a folder, not named: what is no batch there is none of ours, like a schema beside the data. */
  readonly isFromFolder: boolean;
  /** @throws SourceError */
  read(stop: AbortSignal): Promise<Buffer>;
}

/** Why a source cannot be sent; the message follows its name. */
export class SourceError extends Error {
  override name = 'SourceError';
}

/** A source that is JSON, but not a batch. */
export class NotABatchError extends SourceError {
  override name = 'NotABatchError';
}

/** Files, the *.json files of folders, and URLs, in the order given. What cannot be found fails when it is read. */
export async function findSources(places: readonly string[]): Promise<BatchSource[]> {
  const found: BatchSource[] = [];
  for (const place of places) {
    if (/^https?:\/\//i.test(place)) found.push(urlSource(place));
    else found.push(...(await pathSources(place)));
  }
  return found;
}

async function pathSources(path: string): Promise<BatchSource[]> {
  try {
    const found = await stat(path);
    if (!found.isDirectory()) return [fileSource(path, found.size)];
    const entries = await readdir(path, { withFileTypes: true });
    const files = entries.filter((entry) => entry.name.endsWith('.json') && !entry.isDirectory());
    if (files.length === 0) return [badSource(path, 'holds no *.json files')];
    const names = files.map((file) => file.name).sort();
    return await Promise.all(
      names.map(async (name) => fileSource(join(path, name), await sizeOf(join(path, name)), true)),
    );
  } catch (error) {
    return [badSource(path, reasonOf(error))];
  }
}

function fileSource(name: string, sizeBytes: number, isFromFolder = false): BatchSource {
  const read = async (): Promise<Buffer> => {
    try {
      return await readFile(name);
    } catch (error) {
      throw new SourceError(reasonOf(error));
    }
  };
  return { name, sizeBytes, isFromFolder, read };
}

function urlSource(url: string): BatchSource {
  const read = async (stop: AbortSignal): Promise<Buffer> => {
    let response: Response;
    try {
      response = await fetch(url, { signal: stop });
      if (response.ok) return Buffer.from(await response.arrayBuffer());
    } catch (error) {
      if (stop.aborted) throw error;
      const { cause } = error as Error;
      throw new SourceError(`cannot be downloaded: ${cause instanceof Error ? reasonOf(cause) : reasonOf(error)}`);
    }
    await response.body?.cancel();
    throw new SourceError(`cannot be downloaded: the answer is ${String(response.status)} ${response.statusText}`);
  };
  return { name: url, sizeBytes: 0, isFromFolder: false, read };
}

function badSource(name: string, reason: string): BatchSource {
  return { name, sizeBytes: 0, isFromFolder: false, read: () => Promise.reject(new SourceError(reason)) };
}

/** A link that leads nowhere is found out when it is read. */
async function sizeOf(path: string): Promise<number> {
  return (await stat(path).catch(() => undefined))?.size ?? 0;
}

const REASONS: Readonly<Record<string, string>> = {
  ENOENT: 'is not there',
  EACCES: 'may not be read by this user',
  EISDIR: 'is a folder',
};

function reasonOf(error: unknown): string {
  const { code, message } = error as NodeJS.ErrnoException;
  return REASONS[code ?? ''] ?? message;
}
