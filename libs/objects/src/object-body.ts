import { findMember, skipSpace } from '#json';
import { Problem, validateDto, ValidationErrors, type JsonBody } from '#http';
import { NewObjectDto, type CreateObjectDto, type PatchObjectDto, type ReplaceObjectDto } from './object.dto.js';
import type { NewObjectRow } from '#store';
import { listOfPairs } from '#store';

type ObjectDtoClass = typeof CreateObjectDto | typeof ReplaceObjectDto | typeof PatchObjectDto;

/** Whether the object at this pointer may repeat a name: each occurrence in shorthand `data` is a pair of its own. */
export const isShorthand = (pointer: string): boolean => /^(?:\/objects\/\d+)?\/data$/.test(pointer);

/**
 * Parses and validates the body of one object.
 * @returns the DTO, and the text of `data` as sent; undefined where a patch has no `data`
 * @throws Problem malformed-request or invalid-body
 */
export function parseObject<Class extends ObjectDtoClass>(
  dtoClass: Class,
  body: JsonBody,
): { dto: InstanceType<Class>; data: string | undefined } {
  const { text, value } = body.read(isShorthand);
  const errors = validateDto(dtoClass, value, '');
  if (errors.count > 0) throw errors.problem('invalid-body');
  return { dto: value as InstanceType<Class>, data: dataText(text) };
}

/** An object of a batch, or its validation errors. */
export type ParsedBatchObject = { expandedLength: number } & (
  { row: NewObjectRow } | { row?: undefined; errors: ValidationErrors }
);

/** Parses and validates an object of a batch. @param pointer JSON Pointer to the object, for its errors */
export function parseBatchObject(body: JsonBody, pointer: string): ParsedBatchObject {
  try {
    const { text, value, expandedLength } = body.read(isShorthand);
    const errors = validateDto(NewObjectDto, value, pointer);
    const data = dataText(text);
    if (errors.count > 0 || data === undefined) return { errors, expandedLength };
    return { row: newObjectRow(value as NewObjectDto, listOfPairs(data)), expandedLength };
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    return { errors: errorsOf(error, pointer), expandedLength: 0 };
  }
}

/** The row of a valid object. @param data JSON text of a list of pairs */
export function newObjectRow({ object_id, subject, observed_at }: NewObjectDto, data: string): NewObjectRow {
  return { objectId: object_id, subject: subject ?? null, observedAt: observed_at ?? null, data };
}

function dataText(text: string): string | undefined {
  const start = skipSpace(text, 0);
  if (text.charAt(start) !== '{') return undefined;
  const { value } = findMember(text, start, 'data');
  return value && text.slice(value.start, value.end);
}

/** The errors of a problem with pointers below `parent`. */
function errorsOf({ errors, errorCount, message }: Problem, parent: string): ValidationErrors {
  if (errors.length === 0) {
    // A message about a body is also true of a line of a stream, which is always line 1.
    const detail = message.replace(/^The body /, '').replace(' at line 1, column ', ' at column ');
    return new ValidationErrors({ pointer: parent, detail });
  }
  const found = new ValidationErrors();
  for (const error of errors) {
    found.add({ pointer: parent + ('pointer' in error ? error.pointer : ''), detail: error.detail });
  }
  found.count = errorCount;
  return found;
}
