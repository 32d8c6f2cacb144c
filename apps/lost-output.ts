/** What this process prints may be its result, or tell how far its work is. */
let isResult = true;
let error: Error | undefined;

/** A line of the result that cannot be printed. */
export class OutputError extends Error {
  override name = 'OutputError';
}

/**
 * Handles errors of standard output and standard error, which would end the process with a stack: a full disk, or the reader of a pipe
 * that ended first (`stowage key list | head -1`). What is lost on standard error is not reported, as there is no other place.
 * @param onLost called for the first error of standard output, unless `keepWorking` was called
 */
export function watchOutput(onLost: (error: NodeJS.ErrnoException) => void = () => undefined): void {
  isResult = true;
  error = undefined;
  process.stderr.removeAllListeners('error').on('error', () => undefined);
  process.stdout.removeAllListeners('error').on('error', (cause: NodeJS.ErrnoException) => {
    if (isResult && error === undefined) onLost(cause);
    error ??= cause;
  });
}

/** For work whose result is not what it prints, such as a file or a server: it goes on without its output. */
export function keepWorking(): void {
  isResult = false;
}

/** Writes a line to standard output. @throws OutputError after it could not be written, unless `keepWorking` was called */
export function writeLine(line: string): void {
  if (isResult && error !== undefined) throw new OutputError(error.message, { cause: error });
  process.stdout.write(`${line}\n`);
}
