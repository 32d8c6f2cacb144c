/**
 * The `code` of an error: a SQLSTATE for errors of pg and TypeORM, a system code such as ECONNREFUSED for errors of Node.js.
 * Without `instanceof Error`: in a VM context the errors of Node.js belong to another realm.
 */
export function errorCode(error: unknown): string | undefined {
  const code = typeof error === 'object' && error !== null && 'code' in error ? error.code : undefined;
  return typeof code === 'string' ? code : undefined;
}

/** The message of an error, for use in a line of output. */
export function reason(error: unknown): string {
  const text = typeof error === 'object' && error !== null && 'message' in error ? error.message : error;
  return String(text);
}
