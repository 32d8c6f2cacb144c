/** What keeps the process from starting, in one line for the user; printed without a stack trace, exit code 1. */
export class StartupError extends Error {
  override name = 'StartupError';
}
