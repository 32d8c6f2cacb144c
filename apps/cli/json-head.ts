const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const OPEN_BRACE = 0x7b;
const OPEN_LIST = 0x5b;
const CLOSE_BRACE = 0x7d;
const CLOSE_LIST = 0x5d;
const LINE_FEED = 0x0a;
const COLON = 0x3a;
const COMMA = 0x2c;
/** The members that identify a batch file, an object, GeoJSON or a document of MongoDB. */
const KNOWN_NAMES: readonly string[] = ['batch_id', 'objects', 'object_id', 'features', '_id'];
/** The first member of a feed's file, which is also the feed's path and the name of its batch. */
const FEEDS = ['factories', 'sprockets'] as const;
export type FeedName = (typeof FEEDS)[number];
/** The longest id: 255 characters, each written as two escapes of six bytes. */
const TEXT_BYTES_MAX = 255 * 2 * 6;

/**
 * Scans the members of the outermost object of a JSON text, chunk by chunk and in constant memory, to find the `batch_id` of
 * a large file. It does not validate the JSON; the server does.
 */
export class JsonHead {
  /** The known member names that were found. */
  readonly names = new Set<string>();
  /** The value of `batch_id` if it is a string. */
  batchId: string | undefined;
  /** The feed that the file is for, detected by its first member. */
  feed: FeedName | undefined;
  /** The first value has ended. */
  isComplete = false;
  /** The first value contains a line break. */
  hasLineBreak = false;
  /** The first byte that is not white space; 0 when there is none. */
  first = 0;

  private depth = 0;
  private isInString = false;
  private isEscaped = false;
  private isName = true;
  private isFirstName = true;
  private name = '';
  /** The bytes of the current string, if it belongs to the outermost object. */
  private text: number[] = [];

  /** Scans the next bytes. @returns true when the rest of the text is not needed */
  take(bytes: Uint8Array): boolean {
    for (let at = 0; at < bytes.length && !this.isDone; at++) {
      const byte = bytes[at] as number;
      if (this.isInString) at = this.takeString(bytes, at);
      else if (byte === LINE_FEED) this.hasLineBreak ||= this.depth > 0;
      else if (byte > 0x20) this.takeToken(byte);
    }
    return this.isDone;
  }

  /** The content is known, or the first value has ended, or it is not an object. */
  private get isDone(): boolean {
    const isKnown = this.batchId !== undefined || this.feed !== undefined || this.names.has('features');
    return this.isComplete || isKnown || (this.first !== 0 && this.first !== OPEN_BRACE);
  }

  private takeToken(byte: number): void {
    if (this.first === 0) this.first = byte;
    if (byte === QUOTE) {
      this.isInString = true;
      this.text = [];
    } else if (byte === OPEN_BRACE || byte === OPEN_LIST) this.depth++;
    else if (byte === CLOSE_BRACE || byte === CLOSE_LIST) this.isComplete = --this.depth === 0;
    else if (this.depth === 1 && (byte === COLON || byte === COMMA)) this.isName = byte === COMMA;
  }

  /** @returns the index of the closing quote, or the length of the bytes */
  private takeString(bytes: Uint8Array, start: number): number {
    const isKept = this.depth === 1;
    for (let at = start; at < bytes.length; at++) {
      const byte = bytes[at] as number;
      if (byte === QUOTE && !this.isEscaped) {
        this.isInString = false;
        if (isKept) this.endString();
        return at;
      }
      this.isEscaped = byte === BACKSLASH && !this.isEscaped;
      if (isKept && this.text.length <= TEXT_BYTES_MAX) this.text.push(byte);
    }
    return bytes.length;
  }

  private endString(): void {
    const value = this.text.length > TEXT_BYTES_MAX ? '' : textOf(this.text);
    if (this.isName) {
      this.name = value;
      if (KNOWN_NAMES.includes(value)) this.names.add(value);
      if (this.isFirstName) this.feed = FEEDS.find((feed) => feed === value);
      this.isFirstName = false;
    } else if (this.name === 'batch_id') this.batchId = value;
  }
}

/** Decodes a JSON string without its quotes; '' when it is not valid. */
function textOf(bytes: readonly number[]): string {
  try {
    return JSON.parse(`"${Buffer.from(bytes).toString()}"`) as string;
  } catch {
    return '';
  }
}
