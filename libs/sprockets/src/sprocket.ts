import { isObject, isPositive, isWhole, memberText } from '#json';
import { validateDto } from '#http';
import { dataOf, type ObjectRow, pairsOf } from '#store';
import { type TypedCollection, type Parsed, type InputItem } from '#feeds';
import { LENGTH_RULE, NewSprocketDto, TEETH_RULE } from './sprocket.dto.js';

export const SPROCKET_KEYS = ['teeth', 'pitch_diameter', 'outside_diameter', 'pitch'] as const;

export const SPROCKETS: TypedCollection = {
  name: 'sprockets',
  singular: 'sprocket',
  idParam: 'sprocket_id',
  key: 'teeth',
  toObject,
  fromObject,
};

function toObject({ value, text, start, pointer }: InputItem): Parsed<string> {
  const errors = validateDto(NewSprocketDto, value, pointer);
  if (!isObject(value)) return { errors };
  const pairs = SPROCKET_KEYS.map(
    (key) => [key, Number.isFinite(value[key]) ? memberText(text, start, key) : ''] as const,
  );
  for (const [key, number] of pairs) {
    const detail = key === 'teeth' ? TEETH_RULE : LENGTH_RULE;
    if (number !== '' && !isValid(key, number)) errors.add({ pointer: `${pointer}/${key}`, detail });
  }
  return errors.count > 0 ? { errors } : { value: dataOf(pairs) };
}

function fromObject({ object_id, data }: Pick<ObjectRow, 'object_id' | 'data'>): string | undefined {
  const pairs = pairsOf(data);
  const members = SPROCKET_KEYS.map((key) => {
    const [only, more] = pairs.filter((pair) => pair.key === key);
    const isOne = only !== undefined && more === undefined && isValid(key, only.valueText);
    return isOne ? `"${key}":${only.valueText}` : undefined;
  });
  return members.includes(undefined) ? undefined : `{"id":${JSON.stringify(object_id)},${members.join()}}`;
}

function isValid(key: (typeof SPROCKET_KEYS)[number], number: string): boolean {
  return Number.isFinite(Number(number)) && isPositive(number) && (key !== 'teeth' || isWhole(number));
}
