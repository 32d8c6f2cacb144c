/** What was sent is not Zstandard (RFC 8878), or asks for more than is given. */
export class CorruptZstd extends Error {}

/** The byte at an index; 0 where there is none. */
export function byteAt(bytes: Uint8Array, index: number): number {
  return bytes[index] ?? 0;
}

/** How many bits a whole number from 1 on needs, less one. */
export function log2(value: number): number {
  return 31 - Math.clz32(value);
}

/** Bits read from the first to the last, the lowest of each byte first. */
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

  /** Index of the first byte that no bit was read from. */
  close(): number {
    const next = (this.bit + 7) >> 3;
    if (next > this.end) throw new CorruptZstd('a table ends too early');
    return next;
  }
}

/** Bits read from the last to the first; the highest bit that is set in the last byte only marks where they start. */
export class BackwardBits {
  /** Bits that are left; below 0 when more were read than there were. */
  left: number;
  private readonly start: number;

  constructor(
    private readonly bytes: Uint8Array,
    start: number,
    end: number,
  ) {
    const last = byteAt(bytes, end - 1);
    if (end <= start || last === 0) throw new CorruptZstd('a stream of bits has no start');
    this.start = start;
    this.left = (end - start - 1) * 8 + log2(last);
  }

  /** The next bits, without going past them; those after the end are 0. @param count 0 to 24 */
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
