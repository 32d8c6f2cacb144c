/** The largest id of a project: the largest value of PostgreSQL's integer. */
export const PROJECT_ID_MAX = 2 ** 31 - 1;
/** The pattern of a subject, for JSON schemas. */
export const SUBJECT_PATTERN = '^[^\\p{Cc}]*$';
/** The pattern of an id, for JSON schemas. URL parsers remove the path segments `.` and `..`, also percent-encoded. */
export const ID_PATTERN = '^(?!\\.{1,2}$)[^\\p{Cc}]*$';
export const ID_RULE = 'must be text of 1 to 255 characters without control characters, and not "." or ".."';

const SUBJECT = /^\P{Cc}{1,255}$/u;

/** Whether this can be the subject of an object: 1 to 255 Unicode code points, none a control character. */
export function isSubject(value: string): boolean {
  return SUBJECT.test(value);
}

/** Whether this can be an id or a name in the path of a URL: as a subject, but not `.` or `..`. */
export function isId(value: string): boolean {
  return value !== '.' && value !== '..' && SUBJECT.test(value);
}
