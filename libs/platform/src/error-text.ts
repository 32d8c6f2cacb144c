const MESSAGE_LENGTH_MAX = 500;

/** Those of PostgreSQL in any language: "x", 'x', `x`, »x«, « x », „x“, 「x」. */
const QUOTE = '["\'`«»‹›“”„‟‘’‚‛「」『』]';
const QUOTED = new RegExp(`${QUOTE}(?:.*${QUOTE}|.*$)`, 's');
/** Messages of Node.js that have a value without quotes. */
const VALUES = [
  /(?<=Cannot convert ).*(?= to a BigInt)/s,
  /(?<=The number ).*(?= cannot be converted to a BigInt)/s,
  /(?<=Invalid regular expression: ).*/s,
];
/** Where the severity is another word, the message is in another language, and where it quotes values is unknown. */
const ENGLISH_SEVERITIES = ['ERROR', 'FATAL', 'PANIC'];
const NOT_ENGLISH = 'a message that is not in English (lc_messages) is left out';

/** What of an error leaves the process: no value of a client is in it. */
interface SafeError {
  type: string;
  message: string;
  code: unknown;
  /** Of an error of PostgreSQL. */
  severity: unknown;
  /** Names of the schema, of an error of PostgreSQL. */
  schema: unknown;
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
  const members = membersOf(error);
  const { name, message, stack, code, severity, schema, table, column, constraint } = members;
  return {
    type: name,
    message: messageOf(members),
    code,
    severity,
    schema,
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

/** The same with the stack, for a process that ends by it: text for standard error. */
export function internalErrorText(error: unknown): string {
  const { stack = '' } = safeError(error);
  return `stowage: internal error\n${describeError(error)}\n${stack}\n`;
}

function messageOf({ message, severity }: Members): string {
  const text = withoutQuotes(message);
  if (typeof severity !== 'string') return text;
  // The severity is also ERROR in Spanish.
  const isEnglish = ENGLISH_SEVERITIES.includes(severity) && /^[ -~\s]*$/.test(text.replaceAll('…', ''));
  return isEnglish ? text : NOT_ENGLISH;
}

/** From the first quote to the last one: what is quoted may have quotes itself. Names of constraints are left out, too. */
export function withoutQuotes(message: string): string {
  const text = message.slice(0, MESSAGE_LENGTH_MAX).replace(/stw_[a-z]+_\w+/g, 'stw_…');
  return VALUES.reduce((rest, value) => rest.replace(value, '"…"'), text).replace(QUOTED, '"…"');
}

interface Members extends Partial<Record<'code' | 'severity' | 'schema' | 'table' | 'column' | 'constraint', unknown>> {
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
export function framesOf(message: string, stack: unknown): string | undefined {
  if (typeof stack !== 'string') return undefined;
  const at = message === '' ? -1 : stack.indexOf(message);
  const rest = at === -1 ? stack : stack.slice(at + message.length);
  return rest
    .split('\n')
    .filter((line) => /^\s+at /.test(line))
    .join('\n');
}
