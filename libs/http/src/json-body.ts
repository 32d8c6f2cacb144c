import { isUtf8 } from 'node:buffer';
import { countNames, findSyntaxError, inspectJson, JSON_DEPTH_MAX, scanJson } from '#json';
import type { BodyLimit } from './body-limit.js';
import { validationSummary, Problem } from './problems.js';

/** The longest text in which a syntax error is located: locating takes 50 ns a character and blocks the event loop. */
const LOCATED_LENGTH_MAX = 2 * 1024 * 1024;

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

  private readonly limit: BodyLimit;

  /** @param limit the largest body with its exponents written out; a number is that of BODY_LIMIT_BYTES */
  constructor(
    readonly bytes: Buffer,
    limit: BodyLimit | number,
  ) {
    this.limit = typeof limit === 'number' ? { bytes: limit, name: 'BODY_LIMIT_BYTES' } : limit;
  }

  /**
   * @param allowsRepeats whether the object at this pointer may have a name twice; by default none may
   * @throws Problem malformed-request for invalid JSON; invalid-body with a pointer to each value that cannot be stored unchanged
   */
  read(allowsRepeats: (pointer: string) => boolean = () => false): ReadJson {
    if (this.bytes.length === 0) throw new MalformedJson('is empty; send JSON');
    if (!isUtf8(this.bytes)) throw new MalformedJson('is not valid UTF-8');
    const text = this.bytes.toString('utf8');
    const scan = scanJson(text);
    if (scan.depth > JSON_DEPTH_MAX)
      throw new MalformedJson(`is nested more than ${String(JSON_DEPTH_MAX)} levels deep`);
    const value = parse(text);
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
    if (this.bytes.length + expandedLength > this.limit.bytes) {
      throw new Problem('too-large', {
        detail: `With its exponents written out as digits, the body exceeds ${this.limit.name}, ${String(this.limit.bytes)} bytes; see /api/v1/limits.`,
      });
    }
    return { text, value };
  }
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    const location = text.length > LOCATED_LENGTH_MAX ? undefined : locationOf(text, findSyntaxError(text) ?? 0);
    throw new MalformedJson('is not valid JSON', location, cause);
  }
}

function locationOf(text: string, position: number): TextLocation {
  let line = 1;
  let start = 0;
  for (let end = text.indexOf('\n'); end !== -1 && end < position; end = text.indexOf('\n', start)) {
    line++;
    start = end + 1;
  }
  return { line, column: position - start + 1 };
}
