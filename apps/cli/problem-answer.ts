/** One mistake: where it is, and what is wrong there. */
export interface Mistake {
  /** As the server gave it; empty for the whole. */
  pointer: string;
  detail: string;
}

/** The members of problem+json that are read here; none is sure to be there, for a proxy may have answered. */
export interface ProblemAnswer {
  status?: number;
  title?: string;
  detail?: string;
  errors?: { pointer?: string; parameter?: string; header?: string; detail?: string }[];
  error_count?: number;
}

/** Mistakes, and how many there are beyond those. */
export interface Mistakes {
  mistakes: readonly Mistake[];
  unlisted: number;
}

/** @param statusLine what to say of an answer that says nothing */
export function mistakesOf(answer: ProblemAnswer, statusLine: string): Mistakes {
  const { title = statusLine, detail, errors = [], error_count: count = errors.length } = answer;
  if (errors.length === 0) {
    return { mistakes: [{ pointer: '', detail: detail === undefined ? title : `${title}: ${detail}` }], unlisted: 0 };
  }
  const mistakes = errors.map((error) => ({
    pointer: error.pointer ?? error.parameter ?? error.header ?? '',
    detail: error.detail ?? title,
  }));
  return { mistakes, unlisted: Math.max(0, count - errors.length) };
}
