/** Reading or writing values of a project that are encrypted with a data key that this process does not have. */
export class MissingDataKeyError extends Error {
  override name = 'MissingDataKeyError';

  constructor() {
    super('This server does not have a data key with which values of the project are encrypted; retry later.');
  }
}
