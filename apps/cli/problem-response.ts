/** An error in a source: where it is and what is wrong. */
export interface LoadError {
  /** As the server returned it; empty for the whole source. */
  pointer: string;
  detail: string;
}

/** The members of problem+json that are used here. All are optional, because a proxy may have sent the response. */
export interface ProblemBody {
  status?: number;
  type?: string;
  title?: string;
  detail?: string;
  errors?: { pointer?: string; parameter?: string; header?: string; detail?: string }[];
  error_count?: number;
}

/** The errors that a response lists, and the number of those that it does not list. */
export interface LoadErrors {
  errors: readonly LoadError[];
  unlistedCount: number;
}

/** @param statusLine the message for a response without a title */
export function parseErrors(body: ProblemBody, statusLine: string): LoadErrors {
  const { title = statusLine, detail, errors = [], error_count: count = errors.length } = body;
  if (errors.length === 0) {
    return {
      errors: [{ pointer: '', detail: detail === undefined ? title : `${title}: ${detail}` }],
      unlistedCount: 0,
    };
  }
  const listed = errors.map((error) => ({
    pointer: error.pointer ?? error.parameter ?? error.header ?? '',
    detail: error.detail ?? title,
  }));
  return { errors: listed, unlistedCount: Math.max(0, count - errors.length) };
}
