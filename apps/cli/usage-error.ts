/** An invalid command line or client setting. The message is one line; the exit code is 2. */
export class UsageError extends Error {
  override name = 'UsageError';
}
