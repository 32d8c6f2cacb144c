import { open } from 'node:fs/promises';
import { basename } from 'node:path';
import { Readable } from 'node:stream';

/** A file, URL or standard input that objects are loaded from. */
export interface LoadSource {
  /** The path, the URL, or `-` for standard input. */
  readonly name: string;
  /** The last part of the name; empty for standard input. */
  readonly fileName: string;
  /** The size on disk; undefined for a download and standard input. */
  readonly sizeBytes: number | undefined;
  /** Found in a folder or by a pattern: JSON that is not a batch is skipped, such as a schema next to the data. */
  readonly isFound: boolean;
  /** Can be opened more than once. */
  readonly isRepeatable: boolean;
  /** @param signal aborts the returned stream, too @throws SourceError */
  open(signal: AbortSignal): Promise<Readable>;
}

/** A source that cannot be sent. The message is printed after the name of the source and the pointer. */
export class SourceError extends Error {
  override name = 'SourceError';

  constructor(
    message: string,
    readonly pointer = '',
  ) {
    super(message);
  }
}

/** A JSON file that is not a batch. */
export class NotABatchError extends SourceError {
  override name = 'NotABatchError';
}

export function fileSource(name: string, sizeBytes: number, isFound = false): LoadSource {
  const read = async (signal: AbortSignal): Promise<Readable> => {
    try {
      const file = await open(name);
      if (!(await file.stat()).isDirectory()) return file.createReadStream({ signal });
      await file.close();
    } catch (error) {
      throw new SourceError(reasonOf(error));
    }
    throw new SourceError('is a folder');
  };
  return { name, fileName: basename(name), sizeBytes, isFound, isRepeatable: true, open: read };
}

export function urlSource(url: string): LoadSource {
  const read = async (signal: AbortSignal): Promise<Readable> => {
    let response: Response;
    try {
      response = await fetch(url, { signal });
    } catch (error) {
      if (signal.aborted) throw error;
      const { cause = error } = error as Error;
      throw new SourceError(`cannot be downloaded: ${reasonOf(cause)}`);
    }
    if (response.ok) return Readable.fromWeb(response.body ?? new Blob([]).stream());
    await response.body?.cancel();
    throw new SourceError(`cannot be downloaded: the response is ${String(response.status)} ${response.statusText}`);
  };
  return { name: url, fileName: fileNameOf(url), sizeBytes: undefined, isFound: false, isRepeatable: true, open: read };
}

/** Standard input, which can be read once. */
export function stdinSource(): LoadSource {
  const read = (signal: AbortSignal): Promise<Readable> => {
    signal.addEventListener('abort', () => process.stdin.destroy());
    return Promise.resolve(process.stdin);
  };
  return { name: '-', fileName: '', sizeBytes: undefined, isFound: false, isRepeatable: false, open: read };
}

/** A source that cannot be found; opening it throws a SourceError, so that it is reported like the others. */
export function missingSource(name: string, reason: string): LoadSource {
  const read = (): Promise<never> => Promise.reject(new SourceError(reason));
  return { name, fileName: '', sizeBytes: 0, isFound: false, isRepeatable: true, open: read };
}

const REASONS: Readonly<Record<string, string>> = {
  ENOENT: 'does not exist',
  EACCES: 'permission denied',
  EISDIR: 'is a folder',
};

/** The message for an error of reading. */
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
