import { isObject, isPositive, isWhole, memberText } from '#json';
import { validateDto } from '#http';
import { dataOf, pairsOf } from '#store';
import { type Kind, type Made, type Sent } from '#feeds';
import type { ObjectRow } from '#store';
import { LENGTH_RULE, NewSprocketDto, TEETH_RULE } from './sprocket.dto.js';

const KEYS = ['teeth', 'pitch_diameter', 'outside_diameter', 'pitch'] as const;

export const SPROCKETS: Kind = {
  name: 'sprockets',
  one: 'sprocket',
  param: 'sprocket_id',
  key: 'teeth',
  toObject,
  fromObject,
};

function toObject({ value, text, start, pointer }: Sent): Made<string> {
  const mistakes = validateDto(NewSprocketDto, value, pointer);
  if (!isObject(value)) return { mistakes };
  const pairs = KEYS.map((key) => [key, typeof value[key] === 'number' ? memberText(text, start, key) : ''] as const);
  for (const [key, number] of pairs) {
    const detail = key === 'teeth' ? TEETH_RULE : LENGTH_RULE;
    if (number !== '' && !fits(key, number)) mistakes.add({ pointer: `${pointer}/${key}`, detail });
  }
  return mistakes.count > 0 ? { mistakes } : { made: dataOf(pairs) };
}

function fromObject({ object_id, data }: Pick<ObjectRow, 'object_id' | 'data'>): string | undefined {
  const pairs = pairsOf(data);
  const members = KEYS.map((key) => {
    const [only, more] = pairs.filter((pair) => pair.key === key);
    const isOne = only !== undefined && more === undefined && fits(key, only.valueText);
    return isOne ? `"${key}":${only.valueText}` : undefined;
  });
  return members.includes(undefined) ? undefined : `{"id":${JSON.stringify(object_id)},${members.join()}}`;
}

function fits(key: (typeof KEYS)[number], number: string): boolean {
  return isPositive(number) && (key !== 'teeth' || isWhole(number));
}
