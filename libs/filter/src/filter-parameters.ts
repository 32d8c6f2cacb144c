/** The parameters of a filter, from a query or from a body. */
export interface FilterParameters {
  /** JSON text. */
  data?: string | undefined;
  match?: 'all' | 'any' | undefined;
  key?: string | undefined;
  value?: string | undefined;
  batch_id?: string | undefined;
  subject?: string | undefined;
  subject_prefix?: string | undefined;
  /** RFC 3339, already validated; the same for `observed_until`. */
  observed_from?: string | undefined;
  observed_until?: string | undefined;
}

/** An invalid filter parameter. */
export class FilterError extends Error {
  override name = 'FilterError';

  /** @param pointer JSON Pointer into `data`; empty for the parameter as a whole */
  constructor(
    readonly parameter: keyof FilterParameters,
    detail: string,
    readonly pointer = '',
  ) {
    super(detail);
  }
}
