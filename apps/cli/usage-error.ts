/** What the user has to mend in the command or in a client's settings, in one line; exit code 2. */
export class UsageError extends Error {
  override name = 'UsageError';
}
