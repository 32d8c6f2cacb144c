import { BackwardBits, byteAt, CorruptZstd } from './bits.js';
import { fseTable, onlySymbol, readFseTable, readHuffmanTable, type FseTable, type HuffmanTable } from './tables.js';
import type { ZstdWindow } from './window.js';

/** The largest block, compressed or not, in bytes. */
export const BLOCK_MAX = 128 * 1024;

/** How one of the three parts of a sequence is coded. */
interface CodeTable {
  logMax: number;
  /** The number of extra bits of each code, and its value when they are all 0. */
  bits: readonly number[];
  bases: readonly number[];
  standard: FseTable;
}

/** RFC 8878, section 3.1.1.3.2.1.1 and 3.1.1.3.2.2: the codes and their default distributions. */
const LITERALS = codeTable(
  9,
  0,
  [...zeros(16), 1, 1, 1, 1, 2, 2, 3, 3, 4, ...from(6, 16)],
  6,
  [4, 3, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 1, 1, 1, 2, 2, 2, 2, 2, 2, 2, 2, 2, 3, 2, 1, 1, 1, 1, 1, -1, -1, -1, -1],
);
const OFFSETS = codeTable(
  8,
  1,
  from(0, 31),
  5,
  [1, 1, 1, 1, 1, 1, 2, 2, 2, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, -1, -1, -1, -1, -1],
);
const MATCHES = codeTable(
  9,
  3,
  [...zeros(32), 1, 1, 1, 1, 2, 2, 3, 3, 4, 4, 5, ...from(7, 16)],
  6,
  [
    1, 4, 3, 2, 2, 2, 2, 2, 2, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1,
    1, 1, 1, 1, 1, 1, 1, -1, -1, -1, -1, -1, -1, -1,
  ],
);
/** Offsets with more bits than this exceed the largest window. */
const OFFSET_CODE_MAX = 24;

/**
 * Decodes the compressed blocks of one frame (RFC 8878, section 3.1.1.3). The time of a block is bounded by its size and
 * `BLOCK_MAX` bytes of output, for any input.
 */
export class ZstdBlocks {
  private huffman: HuffmanTable | undefined;
  private readonly tables = new Map<CodeTable, FseTable>();
  private readonly offsets: [number, number, number] = [1, 4, 8];

  /** @param literals a buffer of `BLOCK_MAX` bytes, which successive frames may share */
  constructor(private readonly literals: Uint8Array) {}

  /** @throws CorruptZstd */
  decode(block: Uint8Array, window: ZstdWindow, sizeMax: number): void {
    const { size, next } = this.readLiterals(block, sizeMax);
    const used = this.copySequences(block, next, { literals: size, window, sizeMax });
    if (used.written + size - used.literals > sizeMax) throw new CorruptZstd('a block is too large');
    window.add(this.literals.subarray(used.literals, size));
  }

  private readLiterals(block: Uint8Array, sizeMax: number): { size: number; next: number } {
    const first = byteAt(block, 0);
    const type = first & 3;
    const format = (first >> 2) & 3;
    const word = first | (byteAt(block, 1) << 8) | (byteAt(block, 2) << 16);
    if (type < 2) {
      const headerSize = format === 1 ? 2 : format === 3 ? 3 : 1;
      const size = headerSize === 1 ? first >> 3 : (headerSize === 2 ? word & 0xffff : word) >> 4;
      const next = headerSize + (type === 0 ? size : 1);
      if (size > sizeMax || next > block.length) throw new CorruptZstd('literals are too large');
      if (type === 0) this.literals.set(block.subarray(headerSize, next));
      else this.literals.fill(byteAt(block, headerSize), 0, size);
      return { size, next };
    }
    const sizeBits = format < 2 ? 10 : format === 2 ? 14 : 18;
    const headerSize = format < 2 ? 3 : format + 2;
    const header = word + byteAt(block, 3) * 2 ** 24 + byteAt(block, 4) * 2 ** 32;
    const size = Math.floor(header / 16) % 2 ** sizeBits;
    const compressed = Math.floor(header / 2 ** (4 + sizeBits)) % 2 ** sizeBits;
    const end = headerSize + compressed;
    if (size > sizeMax || end > block.length) throw new CorruptZstd('literals are too large');
    let start = headerSize;
    if (type === 2) ({ table: this.huffman, next: start } = readHuffmanTable(block, { start, end }));
    if (this.huffman === undefined) throw new CorruptZstd('a Huffman table is missing');
    const target = this.literals.subarray(0, size);
    if (format === 0) readHuffman(this.huffman, block.subarray(start, end), target);
    else readFourStreams(this.huffman, block.subarray(start, end), target);
    return { size, next: end };
  }

  private copySequences(
    block: Uint8Array,
    start: number,
    { literals, window, sizeMax }: { literals: number; window: ZstdWindow; sizeMax: number },
  ): { literals: number; written: number } {
    const { count, next } = readCount(block, start);
    if (count === 0) {
      if (next !== block.length) throw new CorruptZstd('a block has data after its literals');
      return { literals: 0, written: 0 };
    }
    const modes = byteAt(block, next);
    if ((modes & 3) !== 0) throw new CorruptZstd('a block uses reserved bits');
    const literal = this.readTable(LITERALS, modes >> 6, block, next + 1);
    const offset = this.readTable(OFFSETS, (modes >> 4) & 3, block, literal.next);
    const match = this.readTable(MATCHES, (modes >> 2) & 3, block, offset.next);
    const bits = new BackwardBits(block, match.next, block.length);
    let literalState = bits.read(literal.table.log);
    let offsetState = bits.read(offset.table.log);
    let matchState = bits.read(match.table.log);
    let used = 0;
    let written = 0;
    for (let i = 0; i < count; i++) {
      const offsetCode = byteAt(offset.table.symbols, offsetState);
      if (offsetCode > OFFSET_CODE_MAX) throw new CorruptZstd('a match is too far back');
      const back = (1 << offsetCode) + bits.read(offsetCode);
      const matchLength = valueOf(MATCHES, byteAt(match.table.symbols, matchState), bits);
      const literalLength = valueOf(LITERALS, byteAt(literal.table.symbols, literalState), bits);
      if (i < count - 1) {
        literalState = nextState(literal.table, literalState, bits);
        matchState = nextState(match.table, matchState, bits);
        offsetState = nextState(offset.table, offsetState, bits);
      }
      written += literalLength + matchLength;
      if (bits.left < 0 || used + literalLength > literals || written > sizeMax) {
        throw new CorruptZstd('a block is shorter than its sequences');
      }
      window.add(this.literals.subarray(used, used + literalLength));
      used += literalLength;
      window.repeat(this.offsetOf(back, literalLength), matchLength);
    }
    if (bits.left !== 0) throw new CorruptZstd('a block has unused bits');
    return { literals: used, written };
  }

  private readTable(
    codes: CodeTable,
    mode: number,
    block: Uint8Array,
    start: number,
  ): { table: FseTable; next: number } {
    let table = this.tables.get(codes);
    let next = start;
    if (mode === 0) table = codes.standard;
    else if (mode === 1) {
      const symbol = byteAt(block, next++);
      if (symbol >= codes.bits.length) throw new CorruptZstd('a table has an unknown code');
      table = onlySymbol(symbol);
    } else if (mode === 2) {
      const range = { start, end: block.length };
      ({ table, next } = readFseTable(block, range, codes.logMax, codes.bits.length - 1));
    }
    if (table === undefined) throw new CorruptZstd('a table is missing');
    this.tables.set(codes, table);
    return { table, next };
  }

  /** The lowest values are references to the last three offsets (RFC 8878, section 3.1.1.5). */
  private offsetOf(value: number, literalLength: number): number {
    const [first, second, third] = this.offsets;
    const index = value > 3 ? 4 : value - (literalLength === 0 ? 0 : 1);
    if (index === 0) return first;
    const offset = index === 1 ? second : index === 2 ? third : index === 3 ? first - 1 : value - 3;
    if (index > 1) this.offsets[2] = second;
    this.offsets[1] = first;
    this.offsets[0] = offset;
    return offset;
  }
}

function readFourStreams(table: HuffmanTable, bytes: Uint8Array, target: Uint8Array): void {
  const share = (target.length + 3) >> 2;
  let start = 6;
  for (let i = 0; i < 4; i++) {
    const end = i === 3 ? bytes.length : start + (byteAt(bytes, i * 2) | (byteAt(bytes, i * 2 + 1) << 8));
    if (end > bytes.length || share * 3 > target.length) throw new CorruptZstd('literals are truncated');
    readHuffman(table, bytes.subarray(start, end), target.subarray(share * i, i === 3 ? undefined : share * (i + 1)));
    start = end;
  }
}

function readHuffman({ log, symbols, bits }: HuffmanTable, bytes: Uint8Array, target: Uint8Array): void {
  const stream = new BackwardBits(bytes, 0, bytes.length);
  for (let i = 0; i < target.length; i++) {
    const code = stream.peek(log);
    target[i] = byteAt(symbols, code);
    stream.left -= byteAt(bits, code);
  }
  if (stream.left !== 0) throw new CorruptZstd('literals do not match their length');
}

function readCount(block: Uint8Array, start: number): { count: number; next: number } {
  if (start >= block.length) throw new CorruptZstd('a block ends before its sequences');
  const first = byteAt(block, start);
  if (first < 128) return { count: first, next: start + 1 };
  if (first < 255) return { count: ((first - 128) << 8) + byteAt(block, start + 1), next: start + 2 };
  return { count: byteAt(block, start + 1) + (byteAt(block, start + 2) << 8) + 0x7f00, next: start + 3 };
}

function valueOf(codes: CodeTable, code: number, bits: BackwardBits): number {
  return (codes.bases[code] ?? 0) + bits.read(codes.bits[code] ?? 0);
}

function nextState(table: FseTable, state: number, bits: BackwardBits): number {
  return (table.bases[state] ?? 0) + bits.read(byteAt(table.bits, state));
}

function codeTable(
  logMax: number,
  base: number,
  bits: readonly number[],
  log: number,
  shares: readonly number[],
): CodeTable {
  const bases: number[] = [];
  let next = base;
  for (const count of bits) {
    bases.push(next);
    next += 2 ** count;
  }
  return { logMax, bits, bases, standard: fseTable(shares, log) };
}

function zeros(count: number): number[] {
  return new Array<number>(count).fill(0);
}

function from(first: number, last: number): number[] {
  return Array.from({ length: last - first + 1 }, (_, i) => first + i);
}
