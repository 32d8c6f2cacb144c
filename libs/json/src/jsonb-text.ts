import { type JsonTree, parseTree } from './json-tree.js';
import { parseNumber } from './number-text.js';

/** Scalars that PostgreSQL writes as they are: literals, plain numbers, and text without escapes. */
const UNCHANGED = /^(?:true|false|null|[1-9]\d*(?:\.\d+)?|-[1-9]\d*(?:\.\d+)?|0(?:\.\d+)?|"[^"\\]*")$/;

/**
 * The text that PostgreSQL writes for a `jsonb` value: numbers without exponents, members in the order of their length and then of
 * their bytes, one space after each colon and comma. The value must be one that PostgreSQL can store.
 */
export function jsonbText(text: string): string {
  return UNCHANGED.test(text) ? text : write(parseTree(text));
}

function write(tree: JsonTree): string {
  if (typeof tree === 'string') return writeScalar(tree);
  if (Array.isArray(tree)) return `[${tree.map(write).join(', ')}]`;
  const members = Array.from(tree, ([name, value]) => ({ name: Buffer.from(name), text: writeMember(name, value) }));
  members.sort((a, b) => a.name.length - b.name.length || a.name.compare(b.name));
  return `{${members.map(({ text }) => text).join(', ')}}`;
}

function writeMember(name: string, value: JsonTree): string {
  return `${JSON.stringify(name)}: ${write(value)}`;
}

function writeScalar(text: string): string {
  if (UNCHANGED.test(text)) return text;
  return text.startsWith('"') ? JSON.stringify(JSON.parse(text)) : writeNumber(text);
}

/** A number with as many digits after the decimal point as its text states. PostgreSQL has no negative zero. */
function writeNumber(text: string): string {
  const parts = parseNumber(text);
  if (parts === null) throw new Error('not a JSON number');
  const { isNegative, whole, fraction, exponent } = parts;
  const digits = whole + fraction;
  const isZero = /^0+$/.test(digits);
  const scale = Math.max(fraction.length - exponent, 0);
  const shifted = isZero ? '0'.repeat(scale) : digits + '0'.repeat(Math.max(exponent - fraction.length, 0));
  const padded = shifted.padStart(scale + 1, '0');
  const before = padded.slice(0, padded.length - scale).replace(/^0+(?=\d)/, '');
  const after = scale === 0 ? '' : `.${padded.slice(padded.length - scale)}`;
  return `${isNegative && !isZero ? '-' : ''}${before}${after}`;
}
