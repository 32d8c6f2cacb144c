import { endOfValue, skipSpace } from './json-text.js';
import { canonicalNumber } from './number-text.js';

/**
 * A JSON value whose parts can be changed. A scalar is its text, so that numbers keep every digit; a list is an array; an object
 * is a Map, in which `__proto__` is a name like any other.
 */
export type JsonTree = string | JsonTree[] | Map<string, JsonTree>;

/** Parses the value that starts at `start`. Of a repeated name the last value counts, as with `JSON.parse`. */
export function parseTree(text: string, start = 0): JsonTree {
  return new TreeParser(text, skipSpace(text, start)).parse();
}

/** The JSON text of a tree, without spaces between the tokens. */
export function treeText(tree: JsonTree): string {
  if (typeof tree === 'string') return tree;
  if (Array.isArray(tree)) return `[${tree.map(treeText).join()}]`;
  return `{${Array.from(tree, ([name, value]) => `${JSON.stringify(name)}:${treeText(value)}`).join()}}`;
}

/** Whether two values are equal: numbers by value, texts by their characters, objects in any order (RFC 6902, section 4.6). */
export function areEqualTrees(a: JsonTree, b: JsonTree): boolean {
  if (typeof a === 'string') return typeof b === 'string' && areEqualScalars(a, b);
  if (typeof b === 'string') return false;
  if (Array.isArray(a)) {
    if (!Array.isArray(b) || a.length !== b.length) return false;
    return a.every((element, index) => areEqualTrees(element, b[index] ?? ''));
  }
  if (Array.isArray(b) || a.size !== b.size) return false;
  for (const [name, value] of a) {
    const other = b.get(name);
    if (other === undefined || !areEqualTrees(value, other)) return false;
  }
  return true;
}

function areEqualScalars(a: string, b: string): boolean {
  if (a === b) return true;
  if (a.startsWith('"') && b.startsWith('"')) return JSON.parse(a) === JSON.parse(b);
  const number = canonicalNumber(a);
  return number !== undefined && number === canonicalNumber(b);
}

/** Parses in one pass; the functions of `json-text.ts` would read a nested value once for each of its levels. */
class TreeParser {
  constructor(
    private readonly text: string,
    private index: number,
  ) {}

  parse(): JsonTree {
    const first = this.text.charAt(this.index);
    if (first === '{') return this.parseObject();
    if (first === '[') return this.parseList();
    return this.takeScalar();
  }

  private parseObject(): Map<string, JsonTree> {
    const members = new Map<string, JsonTree>();
    this.skip();
    while (this.text.charAt(this.index) !== '}') {
      const name = JSON.parse(this.takeScalar()) as string;
      // The colon.
      this.index = skipSpace(this.text, this.index);
      this.skip();
      members.set(name, this.parse());
      this.skipComma();
    }
    this.index++;
    return members;
  }

  private parseList(): JsonTree[] {
    const elements: JsonTree[] = [];
    this.skip();
    while (this.text.charAt(this.index) !== ']') {
      elements.push(this.parse());
      this.skipComma();
    }
    this.index++;
    return elements;
  }

  private takeScalar(): string {
    const end = endOfValue(this.text, this.index);
    const scalar = this.text.slice(this.index, end);
    this.index = end;
    return scalar;
  }

  /** Skips a character and the white space after it. */
  private skip(): void {
    this.index = skipSpace(this.text, this.index + 1);
  }

  private skipComma(): void {
    this.index = skipSpace(this.text, this.index);
    if (this.text.charAt(this.index) === ',') this.skip();
  }
}
