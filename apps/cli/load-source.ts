import { open } from 'node:fs/promises';
import { basename } from 'node:path';
import { Readable } from 'node:stream';

/** One place that objects are loaded from. */
export interface LoadSource {
  /** As the user knows it: the path as given, the URL, or - for standard input. */
  readonly name: string;
  /** The last part of the name, which tells what it holds; empty where there is none. */
  readonly fileName: string;
  /** 0 where only reading tells. */
  readonly sizeBytes: number;
  /** Found by a folder or a pattern, not named: what is no batch there is none of ours, like a schema beside the data. */
  readonly isFound: boolean;
  /** Can be opened more than once, each time from its beginning. */
  readonly isRepeatable: boolean;
  /** @param stop ends the reading, also later on @throws SourceError */
  open(stop: AbortSignal): Promise<Readable>;
}

/** Why a source cannot be sent; the message follows its name, and the pointer where there is one. */
export class SourceError extends Error {
  override name = 'SourceError';

  constructor(
    message: string,
    readonly pointer = '',
  ) {
    super(message);
  }
}

/** A source that is JSON, but not a batch. */
export class NotABatchError extends SourceError {
  override name = 'NotABatchError';
}

export function fileSource(name: string, sizeBytes: number, isFound = false): LoadSource {
  const read = async (stop: AbortSignal): Promise<Readable> => {
    try {
      const file = await open(name);
      if (!(await file.stat()).isDirectory()) return file.createReadStream({ signal: stop });
      await file.close();
    } catch (error) {
      throw new SourceError(reasonOf(error));
    }
    throw new SourceError('is a folder');
  };
  return { name, fileName: basename(name), sizeBytes, isFound, isRepeatable: true, open: read };
}

export function urlSource(url: string): LoadSource {
  const read = async (stop: AbortSignal): Promise<Readable> => {
    let response: Response;
    try {
      response = await fetch(url, { signal: stop });
    } catch (error) {
      if (stop.aborted) throw error;
      const { cause = error } = error as Error;
      throw new SourceError(`cannot be downloaded: ${reasonOf(cause)}`);
    }
    if (response.ok) return Readable.fromWeb(response.body ?? new Blob([]).stream());
    await response.body?.cancel();
    throw new SourceError(`cannot be downloaded: the answer is ${String(response.status)} ${response.statusText}`);
  };
  return { name: url, fileName: fileNameOf(url), sizeBytes: 0, isFound: false, isRepeatable: true, open: read };
}

/** Standard input, which can be read once. */
export function stdinSource(): LoadSource {
  const read = (stop: AbortSignal): Promise<Readable> => {
    stop.addEventListener('abort', () => process.stdin.destroy());
    return Promise.resolve(process.stdin);
  };
  return { name: '-', fileName: '', sizeBytes: 0, isFound: false, isRepeatable: false, open: read };
}

/** Stands for a place that there is nothing to read from, so that it is told in its turn. */
export function badSource(name: string, reason: string): LoadSource {
  const read = (): Promise<never> => Promise.reject(new SourceError(reason));
  return { name, fileName: '', sizeBytes: 0, isFound: false, isRepeatable: true, open: read };
}

const REASONS: Readonly<Record<string, string>> = {
  ENOENT: 'is not there',
  EACCES: 'may not be read by this user',
  EISDIR: 'is a folder',
};

/** What to say of a fault in reading. */
export function reasonOf(error: unknown): string {
  const { code, message } = error as NodeJS.ErrnoException;
  return REASONS[code ?? ''] ?? message;
}

function fileNameOf(url: string): string {
  const path = URL.canParse(url) ? new URL(url).pathname : '';
  try {
    return decodeURIComponent(basename(path));
  } catch {
    return basename(path);
  }
}
