import { isUtf8 } from 'node:buffer';
import {
  countNames,
  findSyntaxError,
  inspectJson,
  JSON_VALUES_MAX,
  JSON_DEPTH_MAX,
  scanJson,
  type JsonScan,
} from '#json';
import type { BodyLimit } from './body-limit.js';
import { validationSummary, Problem, ValidationErrors } from './problems.js';

/** The longest body in which a syntax error is located: locating takes up to 20 ns a character and blocks the event loop. */
const LOCATED_BYTES_MAX = 2 * 1024 * 1024;

interface TextLocation {
  /** From 1. */
  line: number;
  /** From 1, in UTF-16 units. */
  column: number;
}

/** The body, or a part of it that was read as a body of its own, is not JSON that can be read. */
export class MalformedJson extends Problem {
  /** @param reason to follow "The body": "is not valid UTF-8" */
  constructor(
    readonly reason: string,
    readonly location?: TextLocation,
    cause?: unknown,
  ) {
    const at = location && ` at line ${String(location.line)}, column ${String(location.column)}`;
    super('malformed-request', { detail: `The body ${reason}${at ?? ''}.`, cause });
  }
}

/** The body, or a part of it that was read as a body of its own, exceeds its limit with its exponents written out. */
class ExpandedTooLarge extends Problem {
  /** To follow "The body". */
  readonly reason: string;

  constructor({ name, bytes }: BodyLimit) {
    const reason = `exceeds ${name}, ${String(bytes)} bytes, with its exponents written out; see /api/v1/limits`;
    super('too-large', { detail: `The body ${reason}.` });
    this.reason = reason;
  }
}

export interface ReadJson {
  /** The body as sent. Stored values are cut from it, so that numbers keep every digit. */
  text: string;
  value: unknown;
}

/**
 * A JSON body that has not been parsed. It holds bytes, not values, so that a body that waits for the database uses no more
 * memory than its size.
 */
export class JsonBody {
  /** Number of digits that PostgreSQL writes for the numbers with an exponent, such as 1e400; known after `read`. */
  expandedLength = 0;

  readonly limit: BodyLimit;

  /**
   * @param limit the largest body with its exponents written out; a number is that of BODY_LIMIT_BYTES
   * @param projectId the project that sent it, which takes turns with others while a large body is processed; null for operators
   */
  constructor(
    readonly bytes: Buffer,
    limit: BodyLimit | number,
    readonly projectId: number | null = null,
  ) {
    this.limit = typeof limit === 'number' ? { bytes: limit, name: 'BODY_LIMIT_BYTES' } : limit;
  }

  /** @throws MalformedJson for an empty body and for invalid UTF-8 */
  requireUtf8(): void {
    if (this.bytes.length === 0) throw new MalformedJson('is empty; send JSON');
    if (!isUtf8(this.bytes)) throw new MalformedJson('is not valid UTF-8');
  }

  /**
   * Parses the whole body. It blocks the event loop, so that routes with larger bodies parse them in parts; see `findList`.
   * @param allowsRepeats whether the object at this pointer may have a name twice; by default none may
   * @throws Problem malformed-request for invalid JSON; invalid-body with a pointer to each value that cannot be stored unchanged
   */
  read(allowsRepeats: (pointer: string) => boolean = () => false): ReadJson {
    this.requireUtf8();
    const text = this.bytes.toString('utf8');
    const scan = scanJson(text);
    const reason = tooComplex(scan);
    if (reason !== null) throw new MalformedJson(reason);
    let value: unknown;
    try {
      value = JSON.parse(text);
    } catch (cause) {
      throw invalidJson(this.bytes, cause);
    }
    if (!scan.needsInspection && scan.names === countNames(value)) return { text, value };
    const { errors: faults, errorCount: faultCount, expandedLength } = inspectJson(text, allowsRepeats);
    this.expandedLength = expandedLength;
    if (faultCount > 0) {
      throw new Problem('invalid-body', {
        detail: validationSummary(faults, faultCount),
        errors: faults,
        errorCount: faultCount,
      });
    }
    this.requireExpandedLength(expandedLength);
    return { text, value };
  }

  /** @throws Problem too-large if the body with its exponents written out, which adds `expandedLength`, exceeds its limit */
  requireExpandedLength(expandedLength: number): void {
    if (this.bytes.length + expandedLength > this.limit.bytes) throw new ExpandedTooLarge(this.limit);
  }
}

/**
 * The errors of a part of a body that was read as a body of its own, with pointers into the whole.
 * @param parent JSON Pointer to the part
 * @param whole the JSON body that the part belongs to; undefined for a line of a stream, which is JSON of its own
 * @throws Problem malformed-request for a part of a JSON body that is not JSON, because the body is not JSON either
 */
export function partErrors(problem: Problem, parent: string, whole: JsonBody | undefined): ValidationErrors {
  if (problem instanceof ExpandedTooLarge) return new ValidationErrors({ pointer: parent, detail: problem.reason });
  if (problem instanceof MalformedJson) {
    const { reason, location } = problem;
    // Only a syntax error has a location.
    if (whole !== undefined && location !== undefined) throw invalidJson(whole.bytes, problem);
    const at = location && ` at column ${String(location.column)}`;
    return new ValidationErrors({ pointer: parent, detail: `${reason}${at ?? ''}` });
  }
  const { errors, errorCount, message } = problem;
  if (errors.length === 0) return new ValidationErrors({ pointer: parent, detail: message });
  const found = new ValidationErrors();
  for (const error of errors) {
    found.add({ pointer: parent + ('pointer' in error ? error.pointer : ''), detail: error.detail });
  }
  found.count = errorCount;
  return found;
}

/** Why a text is not parsed, to follow "The body"; null if it may be. */
export function tooComplex({ depth, containers, names }: JsonScan): string | null {
  if (depth > JSON_DEPTH_MAX) return `is nested more than ${String(JSON_DEPTH_MAX)} levels deep`;
  if (containers > JSON_VALUES_MAX) return `has more than ${String(JSON_VALUES_MAX)} lists and objects`;
  if (names > JSON_VALUES_MAX) return `has more than ${String(JSON_VALUES_MAX)} members`;
  return null;
}

/** The problem of a body that is not JSON, with the place of the first error unless the body is long. */
export function invalidJson(bytes: Buffer, cause?: unknown): MalformedJson {
  const location = bytes.length > LOCATED_BYTES_MAX ? undefined : locationOf(bytes.toString());
  return new MalformedJson('is not valid JSON', location, cause);
}

/** Whether a body has a syntax error; false for a long body, in which it is not located. */
export function hasSyntaxError(bytes: Buffer): boolean {
  return bytes.length <= LOCATED_BYTES_MAX && findSyntaxError(bytes.toString()) !== undefined;
}

/** Whether `JSON.parse`, or a function of the json lib, threw this error. Not `instanceof`: it may belong to another realm. */
export function isSyntaxError(error: unknown): boolean {
  return (error as Partial<Error> | null)?.name === 'SyntaxError';
}

/** The place of the first syntax error. */
function locationOf(text: string): TextLocation {
  const position = findSyntaxError(text) ?? 0;
  let line = 1;
  let start = 0;
  for (let end = text.indexOf('\n'); end !== -1 && end < position; end = text.indexOf('\n', start)) {
    line++;
    start = end + 1;
  }
  return { line, column: position - start + 1 };
}
