import { applyPatch, inspectJson, parsePatch, parseTree, treeText, type JsonTree, type PatchOperation } from '#json';
import { BODY_LIMITS, Problem, validateDto, ValidationErrors, type JsonBody, type Role } from '#http';
import { dataBytes, listOfPairs, patchPairs, type ObjectRow } from '#store';
import { parseObject, requireSameIds } from './object-body.js';
import { PatchedObjectDto, PatchObjectDto } from './object.dto.js';
import { objectText } from './object-wire.js';
import type { ObjectChange } from './object.store.js';

export const JSON_PATCH = 'application/json-patch+json';
export const MERGE_PATCH = 'application/merge-patch+json';

/**
 * The largest data that a patch may make, as pairs. An object of 1 MiB in shorthand has less. Patching reads and writes all of
 * it at once, which takes 25 ms for each MiB.
 */
export const PATCHED_DATA_LIMIT_BYTES = 4 * BODY_LIMITS.object_limit_bytes;
/** The most operations of a JSON Patch; each may shift the whole list of pairs. */
export const PATCH_OPERATIONS_MAX = 1_000;
/** Operations that return, move or compare stored data, which a producer must not read. */
const READING_OPS: readonly string[] = ['test', 'copy', 'move'];

/** A parsed patch of an object: a JSON merge patch (RFC 7396) or a JSON Patch (RFC 6902). */
export type ObjectPatch =
  | { kind: 'merge'; dto: PatchObjectDto; /** The text of `data`, if it has one. */ data: string | undefined }
  | { kind: 'operations'; operations: readonly PatchOperation[] };

type PatchedContent = Pick<ObjectChange, 'data' | 'isSameData' | 'subject' | 'observedAt'>;

/** @throws Problem malformed-request, invalid-body */
export function parseMergePatch(body: JsonBody): ObjectPatch {
  return { kind: 'merge', ...parseObject(PatchObjectDto, body) };
}

/** @throws Problem malformed-request, invalid-body; too-large; forbidden for operations that would reveal data to the role */
export function parseJsonPatch(body: JsonBody, role: Role): ObjectPatch {
  const tree = parseTree(body.read().text);
  if (Array.isArray(tree) && tree.length > PATCH_OPERATIONS_MAX) {
    const detail = `A patch has at most ${String(PATCH_OPERATIONS_MAX)} operations; this one has ${String(tree.length)}.`;
    throw new Problem('too-large', { detail: `${detail} See patch_operations_max of /api/v1/limits.` });
  }
  const { operations, errors } = parsePatch(tree);
  if (errors.length > 0) throw new ValidationErrors(...errors).problem('invalid-body');
  if (role === 'producer') requireNoReading(operations);
  return { kind: 'operations', operations };
}

/**
 * A producer must not read stored data, not even from the errors of a patch: whether a path of data exists, or which index an
 * added pair gets. Other members always exist, so that their operations fail for every object or for none.
 * @throws Problem forbidden, invalid-body
 */
function requireNoReading(operations: readonly PatchOperation[]): void {
  const errors = new ValidationErrors();
  for (const [index, { op, path, value }] of operations.entries()) {
    const at = `/${String(index)}`;
    if (READING_OPS.includes(op)) {
      throw forbidden(`${at}/op`, `requires a role that may read objects, as do all of ${READING_OPS.join(', ')}`);
    }
    if (path[0] !== 'data') continue;
    if (op !== 'add' || path[1] !== '-' || path.length > 2) {
      throw forbidden(
        `${at}/path`,
        'requires a role that may read objects; without it, only add at /data/- changes data',
      );
    }
    for (const error of validateDto(PatchObjectDto, { data: [JSON.parse(value)] }, '').listed) {
      const pointer = 'pointer' in error ? error.pointer.replace(/^\/data\/0/, '') : '';
      errors.add({ pointer: `${at}/value${pointer}`, detail: error.detail });
    }
  }
  if (errors.count > 0) throw errors.problem('invalid-body');
}

function forbidden(pointer: string, detail: string): Problem {
  return new Problem('forbidden', { detail: `${pointer} ${detail}.`, errors: [{ pointer, detail }] });
}

/**
 * The content of an object after a patch.
 * @throws Problem conflict where an operation cannot be applied; invalid-body where the result is not valid; too-large
 */
export function patchedContent(current: ObjectRow, patch: ObjectPatch): PatchedContent {
  const content = patch.kind === 'merge' ? mergedContent(current, patch) : editedContent(current, patch.operations);
  if (dataBytes(content.data) > PATCHED_DATA_LIMIT_BYTES) throw dataTooLarge();
  return content;
}

function mergedContent(current: ObjectRow, { dto, data }: Extract<ObjectPatch, { kind: 'merge' }>): PatchedContent {
  requireSameIds(dto, current);
  return {
    data: data === undefined ? current.data : patchPairs(current.data, data),
    isSameData: data === undefined,
    subject: dto.subject === undefined ? current.subject : dto.subject,
    observedAt: dto.observed_at === undefined ? current.observed_at : dto.observed_at,
  };
}

function editedContent(current: ObjectRow, operations: readonly PatchOperation[]): PatchedContent {
  // Parsing and validating data takes most of the time, and is needed only by operations on it.
  const needsData = operations.some(({ path, from }) => leadsToData(path) || (from !== null && leadsToData(from)));
  const isSameData = !operations.some(changesData);
  const document = objectText(needsData ? current : { ...current, data: '[]' });
  const result = applyPatch(document, operations, PATCHED_DATA_LIMIT_BYTES);
  if ('error' in result) {
    if (result.isTooLarge) throw dataTooLarge();
    const { pointer, detail } = result.error;
    throw new Problem('conflict', { detail: `${pointer} ${detail}; nothing was changed.`, errors: [result.error] });
  }
  const { dto, data } = patchedObject(result.document);
  requireSameIds(dto, current);
  return {
    data: isSameData ? current.data : listOfPairs(data),
    isSameData,
    subject: dto.subject ?? null,
    observedAt: dto.observed_at ?? null,
  };
}

/** @throws Problem invalid-body with pointers into the patched object; too-large */
function patchedObject(document: JsonTree): { dto: PatchedObjectDto; data: string } {
  const text = treeText(document);
  const value: unknown = JSON.parse(text);
  const errors = validateDto(PatchedObjectDto, value, '');
  if (errors.count > 0) {
    const summary = errors.problem('invalid-body').message;
    throw new Problem('invalid-body', {
      detail: `The patched object is not valid: ${summary}`,
      errors: errors.listed,
      errorCount: errors.count,
    });
  }
  const data = document instanceof Map ? document.get('data') : undefined;
  if (data === undefined) throw new Error('a patched object without data passed the validation that requires it');
  const dataText = treeText(data);
  // A number such as 1e100000 may be copied often; PostgreSQL writes its digits out.
  if (dataText.length + inspectJson(dataText, () => false).expandedLength > PATCHED_DATA_LIMIT_BYTES)
    throw dataTooLarge();
  return { dto: value as PatchedObjectDto, data: dataText };
}

function changesData({ op, path, from }: PatchOperation): boolean {
  if (op === 'test') return false;
  return leadsToData(path) || (op === 'move' && from !== null && leadsToData(from));
}

/** Whether a path leads to data, a part of it, or the whole object. */
function leadsToData([first = 'data']: readonly string[]): boolean {
  return first === 'data';
}

function dataTooLarge(): Problem {
  return new Problem('too-large', {
    detail: `The data of the object would have more than patched_data_limit_bytes (${String(PATCHED_DATA_LIMIT_BYTES)}).`,
  });
}
