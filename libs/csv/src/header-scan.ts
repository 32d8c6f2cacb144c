import { CsvError } from './csv-error.js';

const QUOTE = 34;
const LINE_FEED = 10;
const CARRIAGE_RETURN = 13;
const DELIMITERS = [',', ';', '\t', '|'];

/** Finds the delimiter of a file: the one that its header line has most often outside of quotes. */
export class HeaderScan {
  private text = '';
  private position = 0;
  private isQuoted = false;
  /** Whether anything but empty lines has been read. */
  private hasBegun = false;
  private readonly counts = new Map(DELIMITERS.map((delimiter) => [delimiter.charCodeAt(0), 0]));

  constructor(private readonly bytesMax: number) {}

  /**
   * Takes the next bytes of the file.
   * @returns whether the header line is complete
   * @throws CsvError for a header that is too long
   */
  take(piece: Buffer): boolean {
    this.text += piece.toString('latin1');
    for (; this.position < this.text.length; this.position++) {
      const c = this.text.charCodeAt(this.position);
      const isLineEnd = c === LINE_FEED || c === CARRIAGE_RETURN;
      if (isLineEnd && !this.isQuoted && this.hasBegun) return true;
      if (!isLineEnd) this.hasBegun = true;
      if (c === QUOTE) this.isQuoted = !this.isQuoted;
      const count = this.counts.get(c);
      if (count !== undefined && !this.isQuoted) this.counts.set(c, count + 1);
    }
    if (this.text.length > this.bytesMax) throw new CsvError('is too long', 1, undefined, true);
    return false;
  }

  /** The bytes taken. */
  get bytes(): Buffer {
    return Buffer.from(this.text, 'latin1');
  }

  /** A header without delimiters is of a file of one column. @throws CsvError where two delimiters are equally frequent */
  get delimiter(): string {
    const [[first, most] = [44, 0], [second, next] = [44, 0]] = [...this.counts].sort(([, a], [, b]) => b - a);
    if (most > 0 && most === next) {
      const [one, other] = [first, second].map((code) => JSON.stringify(String.fromCharCode(code)));
      throw new CsvError(`has as many ${String(one)} as ${String(other)}; name the delimiter`, 1);
    }
    return most === 0 ? ',' : String.fromCharCode(first);
  }
}
