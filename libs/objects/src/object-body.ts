import { findMember, skipSpace } from '#json';
import { Problem, validateDto, type JsonBody } from '#http';
import type { ObjectRow } from '#store';
import { PatchObjectDto, type CreateObjectDto, type ReplaceObjectDto } from './object.dto.js';

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
  // A patch sets each key once, so that one of two equal names would be lost.
  const { text, value } = dtoClass === PatchObjectDto ? body.read() : body.read(isShorthand);
  const errors = validateDto(dtoClass, value, '');
  if (errors.count > 0) throw errors.problem('invalid-body');
  return { dto: value as InstanceType<Class>, data: dataText(text) };
}

/** @throws Problem invalid-body where the body has another id than the object */
export function requireSameIds(
  sent: { object_id?: string; batch_id?: string },
  current: Pick<ObjectRow, 'object_id' | 'batch_id'>,
): void {
  for (const name of ['object_id', 'batch_id'] as const) {
    if (sent[name] === undefined || sent[name] === current[name]) continue;
    const detail = `must equal the current value "${current[name]}", or be omitted`;
    throw new Problem('invalid-body', {
      detail: `The id and the batch of an object cannot change: ${name} ${detail}.`,
      errors: [{ pointer: `/${name}`, detail }],
    });
  }
}

/** The text of an object's `data`; undefined where it has none. */
export function dataText(text: string): string | undefined {
  const start = skipSpace(text, 0);
  if (text.charAt(start) !== '{') return undefined;
  const { value } = findMember(text, start, 'data');
  return value && text.slice(value.start, value.end);
}
