/** A reason why the process cannot start, in one line for the user: printed without a stack trace, exit code 1. */
export class StartupError extends Error {
  override name = 'StartupError';
}
