const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const OPEN_BRACE = 0x7b;
const OPEN_LIST = 0x5b;
const CLOSE_BRACE = 0x7d;
const CLOSE_LIST = 0x5d;
const LINE_FEED = 0x0a;
const COLON = 0x3a;
const COMMA = 0x2c;
/** What tells a batch from an object, and both from anything else. */
const NAMES: readonly string[] = ['batch_id', 'objects', 'object_id'];
/** What a file of a feed begins with: the member that lists what it holds, which is also its address and its batch. */
const FEEDS = ['factories', 'sprockets'] as const;
export type FeedName = (typeof FEEDS)[number];
/** No id is longer: 255 characters, each two escapes of six bytes. */
const TEXT_BYTES_MAX = 255 * 2 * 6;

/**
 * Looks at the outermost object of a JSON text while its bytes pass by, and keeps nothing of the rest: that is how the
 * `batch_id` of a large file is found, which is sent as it is. Whether it is JSON throughout is the server's to judge.
 */
export class JsonHead {
  /** Which of its names that we know were seen. */
  readonly names = new Set<string>();
  /** The value of `batch_id`, when it is text. */
  batchId: string | undefined;
  /** Which feed's file it is, by its first member. */
  feed: FeedName | undefined;
  /** The first value has ended. */
  isWhole = false;
  /** There is a line break in it. */
  hasLineBreak = false;
  /** The first character that is no space; 0 when there was none. */
  first = 0;

  private depth = 0;
  private isInText = false;
  private isEscaped = false;
  private isName = true;
  private isFirstName = true;
  private name = '';
  /** The bytes of the text that is being read, for the outermost object's own only. */
  private text: number[] = [];

  /** Takes the next bytes. @returns whether there is nothing more to be found */
  take(bytes: Uint8Array): boolean {
    for (let at = 0; at < bytes.length && !this.isDone; at++) {
      const byte = bytes[at] as number;
      if (this.isInText) at = this.takeText(bytes, at);
      else if (byte === LINE_FEED) this.hasLineBreak ||= this.depth > 0;
      else if (byte > 0x20) this.takeMark(byte);
    }
    return this.isDone;
  }

  /** Nothing can be learnt from what follows: what it is is known, or the first value has ended, or it is no object. */
  private get isDone(): boolean {
    const isKnown = this.batchId !== undefined || this.feed !== undefined;
    return this.isWhole || isKnown || (this.first !== 0 && this.first !== OPEN_BRACE);
  }

  private takeMark(byte: number): void {
    if (this.first === 0) this.first = byte;
    if (byte === QUOTE) {
      this.isInText = true;
      this.text = [];
    } else if (byte === OPEN_BRACE || byte === OPEN_LIST) this.depth++;
    else if (byte === CLOSE_BRACE || byte === CLOSE_LIST) this.isWhole = --this.depth === 0;
    else if (this.depth === 1 && (byte === COLON || byte === COMMA)) this.isName = byte === COMMA;
  }

  /** @returns where the text ends, or the bytes do */
  private takeText(bytes: Uint8Array, start: number): number {
    const keeps = this.depth === 1;
    for (let at = start; at < bytes.length; at++) {
      const byte = bytes[at] as number;
      if (byte === QUOTE && !this.isEscaped) {
        this.isInText = false;
        if (keeps) this.endText();
        return at;
      }
      this.isEscaped = byte === BACKSLASH && !this.isEscaped;
      if (keeps && this.text.length <= TEXT_BYTES_MAX) this.text.push(byte);
    }
    return bytes.length;
  }

  private endText(): void {
    const value = this.text.length > TEXT_BYTES_MAX ? '' : textOf(this.text);
    if (this.isName) {
      this.name = value;
      if (NAMES.includes(value)) this.names.add(value);
      if (this.isFirstName) this.feed = FEEDS.find((feed) => feed === value);
      this.isFirstName = false;
    } else if (this.name === 'batch_id') this.batchId = value;
  }
}

/** Without its quotes, escapes read. What is no JSON text is none of the names and ids that we know. */
function textOf(bytes: readonly number[]): string {
  try {
    return JSON.parse(`"${Buffer.from(bytes).toString()}"`) as string;
  } catch {
    return '';
  }
}
