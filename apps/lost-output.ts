/** Of standard output, where it is the result. */
let lost: Error | undefined;

/** A line of the result that cannot be printed. */
export class OutputError extends Error {
  override name = 'OutputError';
}

/**
 * Handles errors of standard output and standard error, which would end the process with a stack: a full disk, or the reader of a pipe
 * that ended first (`stowage key list | head -1`). What is lost on standard error is not reported, as there is no other place.
 * A further call replaces the one before.
 * @param onLost called for the first error of standard output; further lines then throw. Left out for work whose result is not what it
 *   prints, such as a file or a server: it goes on without its output
 */
export function watchOutput(onLost?: (error: NodeJS.ErrnoException) => void): void {
  lost = undefined;
  process.stderr.removeAllListeners('error').on('error', () => undefined);
  process.stdout.removeAllListeners('error').on('error', (error: NodeJS.ErrnoException) => {
    if (onLost === undefined || lost !== undefined) return;
    lost = error;
    onLost(error);
  });
}

/** Writes a line to standard output. @throws OutputError where it is the result and an earlier line was lost */
export function writeLine(line: string): void {
  if (lost !== undefined) throw new OutputError(lost.message, { cause: lost });
  process.stdout.write(`${line}\n`);
}
