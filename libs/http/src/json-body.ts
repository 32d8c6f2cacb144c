import { isUtf8 } from 'node:buffer';
import { countNames, faultIn, inspectJson, JSON_DEPTH_MAX, surveyJson } from '#json';
import { validationSummary, Problem } from './problems.js';

/** Syntax errors are located up to this length: locating takes 50 ns a character and blocks the event loop. */
const PLACED_LENGTH_MAX = 2 * 1024 * 1024;

export interface ReadJson {
  /** The body as sent. What is stored is cut from it, so that numbers keep every digit. */
  text: string;
  value: unknown;
}

/**
 * A JSON body that has not been parsed. It holds bytes, not values, so that a body that waits for the database takes no more
 * memory than its size.
 */
export class JsonBody {
  /** Number of digits that PostgreSQL writes for the numbers with an exponent, such as 1e400; known after `read`. */
  expandedLength = 0;

  constructor(
    readonly bytes: Buffer,
    private readonly limitBytes: number,
  ) {}

  /**
   * @param allowsRepeats whether the object at this pointer may have a name twice; by default none may
   * @throws Problem malformed-request for invalid JSON; invalid-body with a pointer to each value that cannot be stored unchanged
   */
  read(allowsRepeats: (pointer: string) => boolean = () => false): ReadJson {
    if (this.bytes.length === 0) {
      throw new Problem('malformed-request', { detail: 'The body is empty; send JSON.' });
    }
    if (!isUtf8(this.bytes)) {
      throw new Problem('malformed-request', { detail: 'The body is not valid UTF-8.' });
    }
    const text = this.bytes.toString('utf8');
    const survey = surveyJson(text);
    if (survey.depth > JSON_DEPTH_MAX) {
      throw new Problem('malformed-request', {
        detail: `The body is nested more than ${String(JSON_DEPTH_MAX)} levels deep.`,
      });
    }
    const value = parse(text);
    if (!survey.suspect && survey.names === countNames(value)) return { text, value };
    const { faults, faultCount, expandedLength } = inspectJson(text, allowsRepeats);
    this.expandedLength = expandedLength;
    if (faultCount > 0) {
      throw new Problem('invalid-body', {
        detail: validationSummary(faults, faultCount),
        errors: faults,
        errorCount: faultCount,
      });
    }
    if (this.bytes.length + expandedLength > this.limitBytes) {
      throw new Problem('too-large', {
        detail: `With its exponents written out as digits, the body is over BODY_LIMIT_BYTES, ${String(this.limitBytes)} bytes; see /api/v1/limits.`,
      });
    }
    return { text, value };
  }
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    const place = text.length > PLACED_LENGTH_MAX ? '' : ` at ${lineAndColumn(text, faultIn(text) ?? 0)}`;
    throw new Problem('malformed-request', { detail: `The body is not valid JSON${place}.`, cause });
  }
}

function lineAndColumn(text: string, position: number): string {
  let line = 1;
  let start = 0;
  for (let end = text.indexOf('\n'); end !== -1 && end < position; end = text.indexOf('\n', start)) {
    line++;
    start = end + 1;
  }
  return `line ${String(line)}, column ${String(position - start + 1)}`;
}
