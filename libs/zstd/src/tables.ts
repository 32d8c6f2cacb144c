import { BackwardBits, byteAt, CorruptZstd, ForwardBits, log2 } from './bits.js';

/** A finite state entropy table: for each state its symbol and the transition to the next state. */
export interface FseTable {
  /** The binary logarithm of the number of states. */
  log: number;
  symbols: Uint8Array;
  bits: Uint8Array;
  bases: Uint16Array;
}

/** A Huffman table, indexed by the next `log` bits. */
export interface HuffmanTable {
  log: number;
  symbols: Uint8Array;
  bits: Uint8Array;
}

const HUFFMAN_LOG_MAX = 11;

/** RFC 8878, section 4.1.1. @returns the table and the index after its description */
export function readFseTable(
  bytes: Uint8Array,
  range: { start: number; end: number },
  logMax: number,
  symbolMax: number,
): { table: FseTable; next: number } {
  const bits = new ForwardBits(bytes, range.start, range.end);
  const log = bits.read(4) + 5;
  if (log > logMax) throw new CorruptZstd('a table has too many states');
  const shares: number[] = [];
  let left = 1 << log;
  while (left > 0 && shares.length <= symbolMax) {
    // A share is from -1 to the remaining states; the smaller values take one bit less.
    const count = log2(left + 1) + 1;
    const half = (1 << (count - 1)) - 1;
    const short = (1 << count) - 2 - left;
    let value = bits.read(count);
    if ((value & half) < short) {
      bits.unreadOne();
      value &= half;
    } else if (value > half) value -= short;
    const share = value - 1;
    left -= Math.abs(share);
    shares.push(share);
    for (let repeat = share === 0 ? 3 : 0; repeat === 3;) {
      repeat = bits.read(2);
      for (let i = 0; i < repeat; i++) shares.push(0);
    }
    if (shares.length > symbolMax + 1) break;
  }
  if (left !== 0 || shares.length > symbolMax + 1) throw new CorruptZstd('the distribution of a table does not add up');
  return { table: fseTable(shares, log), next: bits.close() };
}

/** @param shares of each symbol in the 2^log states; -1 is less than one, and gets a state at the end */
export function fseTable(shares: readonly number[], log: number): FseTable {
  const size = 1 << log;
  const table = { log, symbols: new Uint8Array(size), bits: new Uint8Array(size), bases: new Uint16Array(size) };
  let high = size - 1;
  shares.forEach((share, symbol) => {
    if (share === -1) table.symbols[high--] = symbol;
  });
  const step = (size >> 1) + (size >> 3) + 3;
  let at = 0;
  shares.forEach((share, symbol) => {
    for (let i = 0; i < share; i++) {
      table.symbols[at] = symbol;
      do at = (at + step) & (size - 1);
      while (at > high);
    }
  });
  const counts = shares.map(Math.abs);
  for (let state = 0; state < size; state++) {
    const symbol = byteAt(table.symbols, state);
    const count = counts[symbol] ?? 0;
    counts[symbol] = count + 1;
    const bits = log - log2(count);
    table.bits[state] = bits;
    table.bases[state] = (count << bits) - size;
  }
  return table;
}

/** The table of a single repeated symbol. */
export function onlySymbol(symbol: number): FseTable {
  return { log: 0, symbols: Uint8Array.of(symbol), bits: new Uint8Array(1), bases: new Uint16Array(1) };
}

/** RFC 8878, section 4.2.1. @returns the table and the index after its description */
export function readHuffmanTable(
  bytes: Uint8Array,
  { start, end }: { start: number; end: number },
): { table: HuffmanTable; next: number } {
  const header = byteAt(bytes, start);
  const isPlain = header >= 128;
  const next = start + 1 + (isPlain ? (header - 126) >> 1 : header);
  if (next > end) throw new CorruptZstd('a Huffman table is truncated');
  const weights = isPlain
    ? Array.from(
        { length: header - 127 },
        (_, i) => (byteAt(bytes, start + 1 + (i >> 1)) >> (i % 2 === 0 ? 4 : 0)) & 15,
      )
    : readWeights(bytes, { start: start + 1, end: next });
  return { table: huffmanTable(weights), next };
}

function readWeights(bytes: Uint8Array, range: { start: number; end: number }): number[] {
  const { table, next } = readFseTable(bytes, range, 6, 255);
  const bits = new BackwardBits(bytes, next, range.end);
  const states = [bits.read(table.log), bits.read(table.log)];
  if (bits.left < 0) throw new CorruptZstd('Huffman weights are truncated');
  const weights: number[] = [];
  // Two interleaved states. When the bits do not suffice for one of them, the other still has a weight to return.
  for (let turn = 0; ; turn = 1 - turn) {
    const state = states[turn] ?? 0;
    weights.push(byteAt(table.symbols, state));
    states[turn] = (table.bases[state] ?? 0) + bits.read(byteAt(table.bits, state));
    if (bits.left < 0) {
      weights.push(byteAt(table.symbols, states[1 - turn] ?? 0));
      break;
    }
    if (weights.length > 255) break;
  }
  if (weights.length > 255) throw new CorruptZstd('there are too many Huffman weights');
  return weights;
}

/** The weight of the last symbol is implicit: it completes the sum to a power of 2. */
function huffmanTable(sent: readonly number[]): HuffmanTable {
  if (sent.some((weight) => weight > HUFFMAN_LOG_MAX)) throw new CorruptZstd('a Huffman weight is too large');
  const sum = sent.reduce((total, weight) => total + ((1 << weight) >> 1), 0);
  if (sum === 0) throw new CorruptZstd('a Huffman table is empty');
  const log = log2(sum) + 1;
  const rest = (1 << log) - sum;
  if (log > HUFFMAN_LOG_MAX || (rest & (rest - 1)) !== 0) {
    throw new CorruptZstd('the weights of a Huffman table do not add up');
  }
  const weights = [...sent, log2(rest) + 1];
  const table = { log, symbols: new Uint8Array(1 << log), bits: new Uint8Array(1 << log) };
  let at = 0;
  for (let weight = 1; weight <= log; weight++) {
    weights.forEach((own, symbol) => {
      if (own !== weight) return;
      const end = at + (1 << (weight - 1));
      table.symbols.fill(symbol, at, end);
      table.bits.fill(log + 1 - weight, at, end);
      at = end;
    });
  }
  return table;
}
