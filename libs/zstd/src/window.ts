import { CorruptZstd } from './bits.js';

/** How far the buffer exceeds the window before older output is dropped, in bytes. */
const SLACK = 1024 * 1024;

/**
 * The last output of a frame, as far back as matches may reach. It grows with the output, not with the declared size.
 */
export class ZstdWindow {
  private bytes = new Uint8Array(0);
  private end = 0;
  private taken = 0;

  /** @param size the largest offset of a match, in bytes */
  constructor(private readonly size: number) {}

  add(bytes: Uint8Array): void {
    this.makeRoom(bytes.length);
    this.bytes.set(bytes, this.end);
    this.end += bytes.length;
  }

  fill(byte: number, count: number): void {
    this.makeRoom(count);
    this.bytes.fill(byte, this.end, this.end + count);
    this.end += count;
  }

  /** Copies the output from `back` bytes ago; source and target may overlap. */
  repeat(back: number, count: number): void {
    if (back < 1 || back > this.end || back > this.size) throw new CorruptZstd('a match is too far back');
    this.makeRoom(count);
    const { bytes } = this;
    const start = this.end - back;
    if (back >= count && count > 16) bytes.copyWithin(this.end, start, start + count);
    else for (let i = 0; i < count; i++) bytes[this.end + i] = bytes[start + i] ?? 0;
    this.end += count;
  }

  /** A copy of the output since the last call. */
  take(): Buffer {
    const added = Buffer.from(this.bytes.subarray(this.taken, this.end));
    this.taken = this.end;
    return added;
  }

  private makeRoom(count: number): void {
    const needed = this.end + count;
    if (needed <= this.bytes.length) return;
    const most = this.size + SLACK;
    if (needed <= most) {
      const larger = new Uint8Array(Math.min(most, Math.max(needed, this.bytes.length * 2)));
      larger.set(this.bytes.subarray(0, this.end));
      this.bytes = larger;
      return;
    }
    // A block is smaller than the slack, so output that was not taken is never dropped.
    const dropped = this.end - this.size;
    this.bytes.copyWithin(0, dropped, this.end);
    this.end -= dropped;
    this.taken -= dropped;
  }
}
