import { isUtf8 } from 'node:buffer';
import { SourceError } from './load-source.js';

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const OPEN_BRACE = 0x7b;
const OPEN_LIST = 0x5b;
const CLOSE_BRACE = 0x7d;
const CLOSE_LIST = 0x5d;
const COLON = 0x3a;
const COMMA = 0x2c;
const LINE_FEED = 0x0a;
/** The server accepts objects of 1 MiB, and white space may surround their tokens. */
const VALUE_BYTES_MAX = 16 * 1024 ** 2;
const NAME_BYTES_MAX = 64;

/**
 * Which values of a file are read: all that follow each other; the elements of a list; or those of the list `features` of an object.
 */
export type ValueLayout = 'values' | 'list' | 'features';

export interface JsonValueText {
  /** The line of the value, or its position in the list from 1. */
  place: number;
  /** Not validated. */
  text: string;
}

/** Splits JSON into values, in memory for one of them. */
export class JsonValues {
  /** Open braces and brackets. */
  private depth = 0;
  private isInString = false;
  private isEscaped = false;
  /** Parts of the value that has begun. */
  private parts: Buffer[] = [];
  private partBytes = 0;
  private hasBegun = false;
  /** The depth at which values begin; undefined before the list begins, and after its end. */
  private valueDepth: number | undefined;
  private isComplete: boolean;
  private line = 1;
  private place = 0;
  /** The last string of the outermost object, and the name before the last colon. */
  private string: number[] = [];
  private member = '';

  constructor(private readonly layout: ValueLayout) {
    this.isComplete = layout === 'values';
    this.valueDepth = layout === 'values' ? 0 : undefined;
  }

  /** The values that end in the next bytes. @throws SourceError */
  *take(chunk: Buffer): Generator<JsonValueText> {
    let start = 0;
    for (let at = 0; at < chunk.length; at++) {
      const byte = chunk[at] as number;
      if (byte === LINE_FEED) this.line++;
      if (this.isInString) {
        this.takeInString(byte);
        continue;
      }
      const isValueLevel = this.depth === this.valueDepth;
      const isSeparator = byte <= 0x20 || byte === COMMA || byte === CLOSE_LIST || byte === CLOSE_BRACE;
      if (isValueLevel && isSeparator) {
        // Ends a number or a literal.
        if (this.hasBegun) yield this.end(chunk.subarray(start, at));
      } else if (isValueLevel && !this.hasBegun) {
        this.hasBegun = true;
        this.place = this.layout === 'values' ? this.line : this.place + 1;
        start = at;
      }
      if (byte > 0x20 && this.isComplete && this.depth === 0 && this.layout !== 'values') {
        throw new SourceError(
          `has more JSON after its list, in line ${String(this.line)}; put each list into its own file`,
        );
      }
      if (byte > 0x20) this.takeToken(byte);
      const isEnd = byte === CLOSE_BRACE || byte === CLOSE_LIST;
      if (this.hasBegun && isEnd && this.depth === this.valueDepth) yield this.end(chunk.subarray(start, at + 1));
    }
    if (this.hasBegun) this.keep(chunk.subarray(start));
  }

  /** The last value, which nothing follows. @throws SourceError for JSON that ends too early */
  *finish(): Generator<JsonValueText> {
    if (this.depth > 0 || this.isInString || !this.isComplete) {
      throw new SourceError('is not valid JSON: unexpected end of file');
    }
    if (this.hasBegun) yield this.end(Buffer.alloc(0));
  }

  private takeInString(byte: number): void {
    if (byte === QUOTE && !this.isEscaped) this.isInString = false;
    else if (this.depth === 1 && this.string.length < NAME_BYTES_MAX) this.string.push(byte);
    this.isEscaped = byte === BACKSLASH && !this.isEscaped;
  }

  private takeToken(byte: number): void {
    if (byte === QUOTE) {
      this.isInString = true;
      this.string = [];
    } else if (byte === COLON && this.depth === 1) this.member = Buffer.from(this.string).toString();
    else if (byte === OPEN_BRACE || byte === OPEN_LIST) {
      if (byte === OPEN_LIST && this.isListStart) this.valueDepth = this.depth + 1;
      this.depth++;
    } else if (byte === CLOSE_BRACE || byte === CLOSE_LIST) {
      if (this.layout !== 'values' && this.depth === this.valueDepth) {
        this.valueDepth = undefined;
        this.isComplete = true;
      }
      if (--this.depth < 0) throw new SourceError(`is not valid JSON: unexpected bracket in line ${String(this.line)}`);
    }
  }

  private get isListStart(): boolean {
    if (this.isComplete || this.valueDepth !== undefined) return false;
    return this.layout === 'list' ? this.depth === 0 : this.depth === 1 && this.member === 'features';
  }

  private keep(part: Buffer): void {
    this.partBytes += part.length;
    if (this.partBytes > VALUE_BYTES_MAX) {
      const limit = VALUE_BYTES_MAX.toLocaleString('en');
      throw new SourceError(`has a value of more than ${limit} bytes in line ${String(this.line)}`);
    }
    this.parts.push(part);
  }

  private end(rest: Buffer): JsonValueText {
    this.keep(rest);
    const bytes = Buffer.concat(this.parts);
    // Otherwise the invalid bytes would be replaced.
    if (!isUtf8(bytes)) throw new SourceError(`is not valid UTF-8 before the end of line ${String(this.line)}`);
    this.parts = [];
    this.partBytes = 0;
    this.hasBegun = false;
    return { place: this.place, text: bytes.toString() };
  }
}
