import { JSON_DEPTH_MAX, scanJson } from './json-text.js';
import { parseTree, areEqualTrees, treeText, type JsonTree } from './json-tree.js';

const OPS = ['add', 'remove', 'replace', 'move', 'copy', 'test'] as const;
const WITH_VALUE: readonly string[] = ['add', 'replace', 'test'];
const WITH_FROM: readonly string[] = ['move', 'copy'];

/** An operation of a JSON Patch (RFC 6902); its pointers are split into their tokens. */
export interface PatchOperation {
  op: (typeof OPS)[number];
  path: readonly string[];
  /** Of `move` and `copy`; null for the others. */
  from: readonly string[] | null;
  /** Of `add`, `replace` and `test`: JSON text. */
  value: string;
}

/** What is wrong in a patch; the pointer leads into the patch. */
export interface PatchError {
  pointer: string;
  detail: string;
}

/** Parses a JSON Patch. Unknown members of an operation are ignored, as RFC 6902, section 4, requires. */
export function parsePatch(patch: JsonTree): { operations: PatchOperation[]; errors: PatchError[] } {
  if (!Array.isArray(patch)) {
    return { operations: [], errors: [{ pointer: '', detail: 'must be a list of operations' }] };
  }
  const errors: PatchError[] = [];
  const operations = patch.flatMap((operation, index) => parseOperation(operation, `/${String(index)}`, errors) ?? []);
  return { operations, errors };
}

function parseOperation(operation: JsonTree, pointer: string, errors: PatchError[]): PatchOperation | null {
  if (!(operation instanceof Map)) {
    errors.push({ pointer, detail: 'must be an object' });
    return null;
  }
  const countBefore = errors.length;
  const op = OPS.find((one) => one === textOf(operation.get('op')));
  if (op === undefined) errors.push({ pointer: `${pointer}/op`, detail: `must be one of ${OPS.join(', ')}` });
  const path = parsePointer(operation, 'path', pointer, errors);
  const from = op !== undefined && WITH_FROM.includes(op) ? parsePointer(operation, 'from', pointer, errors) : null;
  const value = operation.get('value');
  if (op !== undefined && WITH_VALUE.includes(op) && value === undefined)
    errors.push({ pointer: `${pointer}/value`, detail: 'is missing' });
  if (op === 'remove' && path.length === 0 && errors.length === countBefore)
    errors.push({ pointer: `${pointer}/path`, detail: 'must not be the whole document' });
  if (op === 'move' && from !== null && isPrefix(from, path) && errors.length === countBefore)
    errors.push({ pointer: `${pointer}/path`, detail: 'must not be inside the value that is moved' });
  return op === undefined || errors.length > countBefore ? null : { op, path, from, value: treeText(value ?? '') };
}

/** The tokens of a JSON Pointer (RFC 6901). */
function parsePointer(
  operation: ReadonlyMap<string, JsonTree>,
  name: string,
  pointer: string,
  errors: PatchError[],
): string[] {
  const text = textOf(operation.get(name));
  if (text === undefined || !isPointer(text)) {
    const detail = operation.has(name) ? 'must be a JSON Pointer such as /data/0/value' : 'is missing';
    errors.push({ pointer: `${pointer}/${name}`, detail });
    return [];
  }
  const tokens = text.split('/').slice(1);
  return tokens.map((token) => token.replaceAll('~1', '/').replaceAll('~0', '~'));
}

function isPointer(text: string): boolean {
  return (text === '' || text.startsWith('/')) && !/~(?![01])/.test(text);
}

function textOf(tree: JsonTree | undefined): string | undefined {
  return typeof tree === 'string' && tree.startsWith('"') ? (JSON.parse(tree) as string) : undefined;
}

/** Whether `path` is below `from`. */
function isPrefix(from: readonly string[], path: readonly string[]): boolean {
  return from.length < path.length && from.every((token, index) => token === path[index]);
}

/** The document after a patch, or the first operation that cannot be applied to it. */
export type PatchResult = { document: JsonTree } | { error: PatchError; isTooLarge: boolean };

/**
 * Applies a JSON Patch to a document.
 *
 * No package does this here (docs/decisions/026): those that are maintained resolve pointers through prototypes, lose members
 * or compare in quadratic time, and all of them read numbers as doubles.
 * @param copiedLengthMax how many characters `copy` may add in all: a document that is copied into itself doubles each time.
 *   A `move` to a longer path counts as well, because the depth of its value is found by reading it
 */
export function applyPatch(
  document: string,
  operations: readonly PatchOperation[],
  copiedLengthMax: number,
): PatchResult {
  const target = new PatchTarget(parseTree(document));
  let copiedLength = 0;
  for (const [index, { op, path, from, value }] of operations.entries()) {
    const fail = (member: string, detail: string): PatchResult => {
      return { error: { pointer: `/${String(index)}${member}`, detail }, isTooLarge: false };
    };
    const source = from === null ? parseTree(value) : target.find(from);
    if (source === undefined) return fail('/from', NOT_FOUND);
    if (op === 'test') {
      const actual = target.find(path);
      if (actual === undefined) return fail('/path', NOT_FOUND);
      if (!areEqualTrees(actual, source)) return fail('', 'failed: the value at path differs from value');
      continue;
    }
    if (op === 'remove') {
      if (!target.remove(path)) return fail('/path', NOT_FOUND);
      continue;
    }
    let text = value;
    // A value that moves to a path that is not longer cannot make the document deeper.
    const isRead = op === 'copy' || (from !== null && path.length > from.length);
    if (isRead) {
      text = treeText(source);
      copiedLength += text.length;
      if (copiedLength > copiedLengthMax) {
        const error = {
          pointer: `/${String(index)}`,
          detail: `copies more than ${String(copiedLengthMax)} characters`,
        };
        return { error, isTooLarge: true };
      }
    }
    if ((isRead || from === null) && path.length + scanJson(text).depth > JSON_DEPTH_MAX)
      return fail('/path', TOO_DEEP);
    if (op === 'replace' && !target.replace(path, source)) return fail('/path', NOT_FOUND);
    if (op === 'move' && from !== null) target.remove(from);
    if (op === 'add' || op === 'move') {
      if (!target.add(path, source)) return fail('/path', NOT_ADDABLE);
    }
    if (op === 'copy' && !target.add(path, parseTree(text))) return fail('/path', NOT_ADDABLE);
  }
  return { document: target.document };
}

const NOT_FOUND = 'does not exist in the document';
const NOT_ADDABLE = 'has no parent in the document, or is not an index of the list: 0 to its length, or -';
/** Trees are read by recursion, so that no step may nest deeper than the text of a body. */
const TOO_DEEP = `would nest the document more than ${String(JSON_DEPTH_MAX)} levels deep`;

class PatchTarget {
  constructor(public document: JsonTree) {}

  find(path: readonly string[]): JsonTree | undefined {
    let value: JsonTree | undefined = this.document;
    for (const token of path) {
      if (value === undefined) return undefined;
      value = Array.isArray(value) ? value[indexOf(token, value.length)] : childOf(value, token);
    }
    return value;
  }

  add(path: readonly string[], value: JsonTree): boolean {
    const token = path.at(-1);
    if (token === undefined) {
      this.document = value;
      return true;
    }
    const parent = this.find(path.slice(0, -1));
    if (Array.isArray(parent)) {
      const index = token === '-' ? parent.length : indexOf(token, parent.length + 1);
      if (index >= 0) parent.splice(index, 0, value);
      return index >= 0;
    }
    if (!(parent instanceof Map)) return false;
    parent.set(token, value);
    return true;
  }

  remove(path: readonly string[]): boolean {
    const parent = this.find(path.slice(0, -1));
    const token = path.at(-1) ?? '';
    if (!Array.isArray(parent)) return parent instanceof Map && parent.delete(token);
    const index = indexOf(token, parent.length);
    if (index >= 0) parent.splice(index, 1);
    return index >= 0;
  }

  replace(path: readonly string[], value: JsonTree): boolean {
    if (this.find(path) === undefined) return false;
    const parent = this.find(path.slice(0, -1));
    if (path.length === 0 || !Array.isArray(parent)) return this.add(path, value);
    parent[indexOf(path.at(-1) ?? '', parent.length)] = value;
    return true;
  }
}

function childOf(parent: JsonTree, name: string): JsonTree | undefined {
  return parent instanceof Map ? parent.get(name) : undefined;
}

/** The index that a token means (RFC 6901, section 4); -1 where the list has none below `length`. */
function indexOf(token: string, length: number): number {
  return /^(?:0|[1-9]\d*)$/.test(token) && Number(token) < length ? Number(token) : -1;
}
