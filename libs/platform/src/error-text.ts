const MESSAGE_LENGTH_MAX = 500;

/** What of an error leaves the process: no value of a client is in it. */
interface SafeError {
  type: string;
  message: string;
  code: unknown;
  /** Names of the schema, of an error of PostgreSQL. */
  table: unknown;
  column: unknown;
  constraint: unknown;
  /** Its lines begin with `at`. */
  stack: string | undefined;
}

/**
 * An error without what may quote a value of a client: PostgreSQL and JSON.parse quote values in their messages, and the further members of a
 * database error (`detail`, `where`, `parameters`, `query`) have whole rows.
 */
export function safeError(error: unknown): SafeError {
  const { name, message, stack, code, table, column, constraint } = membersOf(error);
  return {
    type: name,
    message: withoutQuotes(message),
    code,
    table,
    column,
    constraint,
    stack: framesOf(message, stack),
  };
}

/** The same in one line, for the text of a message. */
export function describeError(error: unknown): string {
  const { type, code, message } = safeError(error instanceof AggregateError ? (error.errors[0] ?? error) : error);
  return `${type}${typeof code === 'string' ? ` ${code}` : ''}: ${message.split('\n')[0] ?? ''}`;
}

/** From the first quote to the last one: what is quoted may have quotes itself. Names of constraints are left out, too. */
export function withoutQuotes(message: string): string {
  return message
    .slice(0, MESSAGE_LENGTH_MAX)
    .replace(/stw_[a-z]+_\w+/g, 'stw_…')
    .replace(/["'`](?:.*["'`]|.*$)/s, '"…"');
}

interface Members extends Partial<Record<'code' | 'table' | 'column' | 'constraint', unknown>> {
  name: string;
  message: string;
  stack?: string;
}

/** Anything can be thrown. */
function membersOf(error: unknown): Members {
  if (error instanceof Error) return error;
  const { name = 'Error', message, ...rest } = (typeof error === 'object' ? (error ?? {}) : {}) as Partial<Members>;
  return { ...rest, name, message: String(message ?? error) };
}

/** The stack of Node.js begins with the message, whose lines may look like frames. */
function framesOf(message: string, stack: unknown): string | undefined {
  if (typeof stack !== 'string') return undefined;
  const at = message === '' ? -1 : stack.indexOf(message);
  const rest = at === -1 ? stack : stack.slice(at + message.length);
  return rest
    .split('\n')
    .filter((line) => /^\s+at /.test(line))
    .join('\n');
}
