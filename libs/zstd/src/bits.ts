/** The data is not valid Zstandard (RFC 8878), or exceeds a limit of the decoder. */
export class CorruptZstd extends Error {}

/** The byte at an index; 0 past the end. */
export function byteAt(bytes: Uint8Array, index: number): number {
  return bytes[index] ?? 0;
}

/** The integer part of the binary logarithm of a number from 1 on. */
export function log2(value: number): number {
  return 31 - Math.clz32(value);
}

/** Reads bits forwards, the lowest of each byte first. */
export class ForwardBits {
  private bit: number;

  constructor(
    private readonly bytes: Uint8Array,
    start: number,
    private readonly end: number,
  ) {
    this.bit = start * 8;
  }

  /** @param count 1 to 16 */
  read(count: number): number {
    const at = this.bit >> 3;
    const word = byteAt(this.bytes, at) | (byteAt(this.bytes, at + 1) << 8) | (byteAt(this.bytes, at + 2) << 16);
    const value = (word >> (this.bit & 7)) & ((1 << count) - 1);
    this.bit += count;
    return value;
  }

  unreadOne(): void {
    this.bit--;
  }

  /** The index of the first byte without a bit that was read. */
  close(): number {
    const next = (this.bit + 7) >> 3;
    if (next > this.end) throw new CorruptZstd('a table is truncated');
    return next;
  }
}

/** Reads bits backwards; the highest set bit of the last byte marks the start. */
export class BackwardBits {
  /** The number of remaining bits; negative when more were read than exist. */
  left: number;
  private readonly start: number;

  constructor(
    private readonly bytes: Uint8Array,
    start: number,
    end: number,
  ) {
    const last = byteAt(bytes, end - 1);
    if (end <= start || last === 0) throw new CorruptZstd('a bit stream has no start marker');
    this.start = start;
    this.left = (end - start - 1) * 8 + log2(last);
  }

  /** The next bits without consuming them; bits past the end are 0. @param count 0 to 24 */
  peek(count: number): number {
    const from = this.left - count;
    if (from < 0) return this.left <= 0 ? 0 : this.load(0, this.left) << -from;
    return this.load(from, count);
  }

  /** @param count 0 to 24 */
  read(count: number): number {
    const value = this.peek(count);
    this.left -= count;
    return value;
  }

  private load(bit: number, count: number): number {
    const { bytes } = this;
    const at = this.start + (bit >> 3);
    const word =
      byteAt(bytes, at) | (byteAt(bytes, at + 1) << 8) | (byteAt(bytes, at + 2) << 16) | (byteAt(bytes, at + 3) << 24);
    return (word >>> (bit & 7)) & ((1 << count) - 1);
  }
}
