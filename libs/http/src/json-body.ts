import { isUtf8 } from 'node:buffer';
import { countNames, faultIn, inspectJson, JSON_DEPTH_MAX, surveyJson } from '#json';
import { validationSummary, Problem } from './problems.js';

/** In a longer text no fault is looked for: that takes 50 ns a character, which everybody would wait for. */
const PLACED_LENGTH_MAX = 2 * 1024 * 1024;

export interface ReadJson {
  /** The body to the letter: what is stored is cut from it, so that no digit is lost on the way through JavaScript. */
  text: string;
  value: unknown;
  /** Number of characters that PostgreSQL writes for the numbers with an exponent: 1e400 is short here and long there. */
  expandedLength: number;
}

/**
 * A request's JSON body, not read yet. It holds bytes, not a tree, so that a body waiting for the database costs its own
 * size and no more.
 */
export class JsonBody {
  constructor(
    readonly bytes: Buffer,
    private readonly limitBytes: number,
  ) {}

  /**
   * @param allowsRepeats whether the object at this pointer may give a name twice; by default none may.
   * @throws Problem malformed-request when it is no JSON, invalid-body with a pointer to each thing that could not be kept exactly
   */
  read(allowsRepeats: (pointer: string) => boolean = () => false): ReadJson {
    if (this.bytes.length === 0) {
      throw new Problem('malformed-request', { detail: 'The body is empty; this address takes JSON.' });
    }
    if (!isUtf8(this.bytes)) {
      throw new Problem('malformed-request', { detail: 'The body is not valid UTF-8.' });
    }
    const text = this.bytes.toString('utf8');
    const survey = surveyJson(text);
    if (survey.depth > JSON_DEPTH_MAX) {
      throw new Problem('malformed-request', { detail: `The body is nested over ${String(JSON_DEPTH_MAX)} deep.` });
    }
    const value = parse(text);
    if (!survey.suspect && survey.names === countNames(value)) return { text, value, expandedLength: 0 };
    const { faults, faultCount, expandedLength } = inspectJson(text, allowsRepeats);
    if (faultCount > 0) {
      throw new Problem('invalid-body', {
        detail: validationSummary(faults, faultCount),
        errors: faults,
        errorCount: faultCount,
      });
    }
    if (this.bytes.length + expandedLength > this.limitBytes) {
      throw new Problem('too-large', {
        detail: `Written out, the numbers of this body pass BODY_LIMIT_BYTES, ${String(this.limitBytes)} bytes; see /api/v1/limits.`,
      });
    }
    return { text, value, expandedLength };
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
