import { pointerPart } from '#json';
import { SourceError } from './load-source.js';

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const OPEN_BRACE = 0x7b;
const OPEN_BRACKET = 0x5b;
const CLOSE_BRACE = 0x7d;
const CLOSE_BRACKET = 0x5d;
const COLON = 0x3a;
const COMMA = 0x2c;
const LINE_FEED = 0x0a;
const SPACE = 0x20;
/** A longer member name is unknown anyway. */
const NAME_BYTES_MAX = 255;

/** What the next byte of a batch file belongs to. The bytes of `object` and `object-string` are written, no others. */
type State =
  | 'start'
  | 'first-name'
  | 'next-name'
  | 'name'
  | 'colon'
  | 'value'
  | 'batch-id'
  | 'after-value'
  | 'first-object'
  | 'next-object'
  | 'object'
  | 'object-string'
  | 'end';

/** What is valid in a state, for error messages. */
const EXPECTED: Readonly<Partial<Record<State, string>>> = {
  start: '"{"',
  'first-name': 'a member name or "}"',
  'next-name': 'a member name',
  colon: '":"',
  'after-value': '"," or "}"',
  'first-object': 'an object or "]"',
  'next-object': 'an object',
  object: '"," or "]"',
  end: 'the end of the file',
};

/**
 * Converts a batch file, `{"batch_id": ..., "objects": [...]}`, to NDJSON, chunk by chunk and in constant memory. The text of
 * each object is kept as it is, so that no digit is lost; only line breaks between its tokens become spaces. The members
 * may be in any order. Whether the text of an object is valid is left to the server.
 */
export class ObjectLines {
  /** Objects converted so far, including one that has begun. */
  objectCount = 0;

  private state: State = 'start';
  /** Open braces and brackets inside the current object. */
  private depth = 0;
  private isEscaped = false;
  /** The bytes of the member name that is being read. */
  private nameBytes: number[] = [];
  /** The members that were read or have begun. */
  private readonly names = new Set<string>();
  /** Whether the current member is `objects`; otherwise it is `batch_id`. */
  private isObjects = false;
  /** Bytes of the file before the current chunk. */
  private offset = 0;

  /** Converts the next bytes of the file. @returns bytes of NDJSON @throws SourceError when this is not a batch file */
  convert(chunk: Uint8Array): Buffer {
    // No byte becomes more than one.
    const output = Buffer.allocUnsafe(chunk.length);
    let length = 0;
    for (let index = 0; index < chunk.length; index++) {
      const byte = chunk[index] as number;
      switch (this.state) {
        case 'object': {
          const written = this.takeObjectByte(byte, index);
          if (written !== undefined) output[length++] = written;
          break;
        }
        case 'object-string':
          if (byte === LINE_FEED) throw this.invalid('a line break inside a string', index);
          output[length++] = byte;
          if (byte === QUOTE && !this.isEscaped) this.state = 'object';
          this.isEscaped = byte === BACKSLASH && !this.isEscaped;
          break;
        case 'first-object':
        case 'next-object':
          if (isSpace(byte)) break;
          if (byte === CLOSE_BRACKET && this.state === 'first-object') this.state = 'after-value';
          else if (byte === COMMA || byte === CLOSE_BRACKET || byte === CLOSE_BRACE) throw this.unexpected(index);
          else {
            this.objectCount++;
            this.state = 'object';
            // It is the first byte of an object, and may open it.
            index--;
          }
          break;
        default:
          this.takeBatchByte(byte, index);
      }
    }
    this.offset += chunk.length;
    return output.subarray(0, length);
  }

  /** Checks that the batch is complete. @throws SourceError */
  end(): void {
    if (this.state !== 'end') throw new SourceError('is not valid JSON: unexpected end of file');
    if (!this.names.has('objects')) throw new SourceError('is missing', '/objects');
  }

  /** @returns the byte to write, if any */
  private takeObjectByte(byte: number, index: number): number | undefined {
    if (byte === LINE_FEED) return SPACE;
    if (byte === QUOTE) this.state = 'object-string';
    else if (byte === OPEN_BRACE || byte === OPEN_BRACKET) this.depth++;
    else if (this.depth > 0) {
      if (byte === CLOSE_BRACE || byte === CLOSE_BRACKET) this.depth--;
    } else if (byte === COMMA) {
      this.state = 'next-object';
      return LINE_FEED;
    } else if (byte === CLOSE_BRACKET) {
      this.state = 'after-value';
      return LINE_FEED;
    } else if (byte === CLOSE_BRACE) throw this.unexpected(index);
    return byte;
  }

  /** Takes a byte outside of `objects`. */
  private takeBatchByte(byte: number, index: number): void {
    switch (this.state) {
      case 'name':
        if (byte === QUOTE && !this.isEscaped) this.takeName();
        else if (this.nameBytes.length <= NAME_BYTES_MAX) this.nameBytes.push(byte);
        this.isEscaped = byte === BACKSLASH && !this.isEscaped;
        return;
      case 'batch-id':
        if (byte === QUOTE && !this.isEscaped) this.state = 'after-value';
        this.isEscaped = byte === BACKSLASH && !this.isEscaped;
        return;
    }
    if (isSpace(byte)) return;
    if (this.state === 'start' && byte === OPEN_BRACE) this.state = 'first-name';
    else if ((this.state === 'first-name' || this.state === 'next-name') && byte === QUOTE) {
      this.nameBytes = [];
      this.state = 'name';
    } else if ((this.state === 'first-name' || this.state === 'after-value') && byte === CLOSE_BRACE) {
      this.state = 'end';
    } else if (this.state === 'after-value' && byte === COMMA) this.state = 'next-name';
    else if (this.state === 'colon' && byte === COLON) this.state = 'value';
    else if (this.state === 'value') this.takeValue(byte);
    else throw this.unexpected(index);
  }

  private takeName(): void {
    const name = textOf(this.nameBytes);
    if (name !== 'batch_id' && name !== 'objects') {
      throw new SourceError('is not a member of a batch', pointerPart(name));
    }
    if (this.names.has(name)) throw new SourceError('appears twice', `/${name}`);
    this.names.add(name);
    this.isObjects = name === 'objects';
    this.state = 'colon';
  }

  private takeValue(byte: number): void {
    if (this.isObjects && byte !== OPEN_BRACKET) throw new SourceError('must be a list of objects', '/objects');
    if (!this.isObjects && byte !== QUOTE) throw new SourceError('must be text', '/batch_id');
    this.state = this.isObjects ? 'first-object' : 'batch-id';
  }

  private unexpected(index: number): SourceError {
    return this.invalid(`expected ${EXPECTED[this.state] ?? 'JSON'}`, index);
  }

  private invalid(reason: string, index: number): SourceError {
    return new SourceError(`is not valid JSON: ${reason} at byte ${(this.offset + index + 1).toLocaleString('en')}`);
  }
}

function isSpace(byte: number): boolean {
  return byte === SPACE || byte === LINE_FEED || byte === 0x09 || byte === 0x0d;
}

/** Decodes a JSON string without its quotes; one that is not valid is returned as it is written. */
function textOf(bytes: readonly number[]): string {
  const text = Buffer.from(bytes).toString();
  try {
    return JSON.parse(`"${text}"`) as string;
  } catch {
    return text;
  }
}
