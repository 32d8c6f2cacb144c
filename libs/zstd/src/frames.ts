import { byteAt, CorruptZstd } from './bits.js';
import { BLOCK_MAX, ZstdBlocks } from './block.js';
import { ZstdWindow } from './window.js';
import { XxHash64 } from './xx-hash.js';

/** The largest window that a decoder of the content coding `zstd` must support (RFC 9659). */
const WINDOW_MAX = 8 * 1024 * 1024;
const FRAME_MAGIC = 0xfd2fb528;
const SKIPPABLE_MAGIC = 0x184d2a50;

interface Frame {
  blocks: ZstdBlocks;
  window: ZstdWindow;
  blockMax: number;
  /** Undefined for a frame without a content size. */
  size: number | undefined;
  produced: number;
  /** Undefined for a frame without a checksum. */
  hash: XxHash64 | undefined;
}

/**
 * A streaming decoder of Zstandard (RFC 8878): consecutive frames, block by block. At most one block of 128 KiB is decoded
 * before it is requested.
 */
export class ZstdFrames {
  private parts: Uint8Array[] = [];
  private waiting = 0;
  /** The number of bytes that the next step needs. */
  private need = 4;
  private step: 'start' | 'block' | 'checksum' | 'skip' = 'start';
  private frame: Frame | undefined;
  /** Shared by all frames: there may be thousands of a few bytes. */
  private readonly literals = new Uint8Array(BLOCK_MAX);

  /** @throws CorruptZstd */
  *push(chunk: Uint8Array): Generator<Buffer> {
    this.parts.push(chunk);
    this.waiting += chunk.length;
    if (this.waiting < this.need && this.step !== 'skip') return;
    const bytes = this.parts.length === 1 ? chunk : Buffer.concat(this.parts);
    let at = 0;
    while (bytes.length - at >= this.need || this.step === 'skip') {
      const rest = bytes.subarray(at);
      if (this.step === 'skip') {
        const skipped = Math.min(rest.length, this.need);
        at += skipped;
        this.need -= skipped;
        if (this.need > 0) break;
        this.begin();
      } else if (this.step === 'start') {
        at += this.readStart(rest);
      } else if (this.step === 'checksum') {
        at += this.need;
        if (this.frame?.hash?.digest32() !== wordAt(rest, 0)) throw new CorruptZstd('the checksum is wrong');
        this.begin();
      } else {
        const header = byteAt(rest, 0) | (byteAt(rest, 1) << 8) | (byteAt(rest, 2) << 16);
        this.need = 3 + ((header & 6) === 2 ? 1 : header >> 3);
        if (this.need > 3 + BLOCK_MAX) throw new CorruptZstd('a block is too large');
        if (rest.length < this.need) break;
        at += this.need;
        const block = this.readBlock(rest.subarray(3, this.need), header);
        if (block.length > 0) yield block;
      }
    }
    this.parts = [bytes.subarray(at)];
    this.waiting = bytes.length - at;
  }

  /** @throws CorruptZstd when the last frame is incomplete */
  end(): void {
    if (this.step !== 'start' || this.waiting > 0) throw new CorruptZstd('the last frame is truncated');
  }

  private begin(): void {
    this.step = 'start';
    this.need = 4;
    this.frame = undefined;
  }

  /** @returns the number of bytes consumed; 0 when `need` has grown */
  private readStart(bytes: Uint8Array): number {
    const magic = wordAt(bytes, 0);
    if ((magic & ~15) >>> 0 === SKIPPABLE_MAGIC) {
      if (bytes.length < 8) return this.wait(8);
      this.step = 'skip';
      this.need = wordAt(bytes, 4);
      return 8;
    }
    if (magic !== FRAME_MAGIC) throw new CorruptZstd('not a Zstandard frame');
    if (bytes.length < 5) return this.wait(5);
    const flags = byteAt(bytes, 4);
    const isSingle = (flags & 32) !== 0;
    const sizeLength = flags >> 6 === 0 ? Number(isSingle) : 1 << (flags >> 6);
    const dictionaryLength = [0, 1, 2, 4][flags & 3] ?? 0;
    const sizeAt = 5 + Number(!isSingle) + dictionaryLength;
    const length = sizeAt + sizeLength;
    if (bytes.length < length) return this.wait(length);
    if ((flags & 8) !== 0) throw new CorruptZstd('a frame uses a reserved bit');
    if (bytes.subarray(sizeAt - dictionaryLength, sizeAt).some((byte) => byte !== 0)) {
      throw new CorruptZstd('a frame needs a dictionary');
    }
    const size = sizeLength === 0 ? undefined : numberAt(bytes, sizeAt, sizeLength) + (sizeLength === 2 ? 256 : 0);
    const windowSize = isSingle ? (size ?? 0) : windowOf(byteAt(bytes, 5));
    if (windowSize > WINDOW_MAX) throw new CorruptZstd('a frame needs a window of over 8 MiB');
    this.frame = {
      blocks: new ZstdBlocks(this.literals),
      window: new ZstdWindow(windowSize),
      blockMax: Math.min(windowSize, BLOCK_MAX),
      size,
      produced: 0,
      hash: (flags & 4) === 0 ? undefined : new XxHash64(),
    };
    this.step = 'block';
    this.need = 3;
    return length;
  }

  private wait(length: number): 0 {
    this.need = length;
    return 0;
  }

  private readBlock(content: Uint8Array, header: number): Buffer {
    const { frame } = this;
    if (frame === undefined) throw new Error('a block needs a frame');
    const size = header >> 3;
    if (size > frame.blockMax) throw new CorruptZstd('a block is too large');
    const type = (header >> 1) & 3;
    if (type === 0) frame.window.add(content);
    else if (type === 1) frame.window.fill(byteAt(content, 0), size);
    else if (type === 2) frame.blocks.decode(content, frame.window, frame.blockMax);
    else throw new CorruptZstd('a block has an unknown type');
    const block = frame.window.take();
    frame.produced += block.length;
    frame.hash?.update(block);
    const isLast = (header & 1) === 1;
    if (frame.size !== undefined && (isLast ? frame.produced !== frame.size : frame.produced > frame.size)) {
      throw new CorruptZstd('a frame does not match its content size');
    }
    this.need = 3;
    if (isLast && frame.hash === undefined) this.begin();
    else if (isLast) [this.step, this.need] = ['checksum', 4];
    return block;
  }
}

function windowOf(descriptor: number): number {
  const base = 2 ** (10 + (descriptor >> 3));
  return base + (base / 8) * (descriptor & 7);
}

function wordAt(bytes: Uint8Array, index: number): number {
  return numberAt(bytes, index, 4);
}

function numberAt(bytes: Uint8Array, index: number, length: number): number {
  let value = 0;
  for (let i = length - 1; i >= 0; i--) value = value * 256 + byteAt(bytes, index + i);
  return value;
}
