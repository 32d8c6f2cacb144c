import { isPositive, isWhole, membersOf } from '#json';
import { mistakesIn } from '#platform';
import { dataOf, pairsOf, type Kind, type Made, type ObjectRow, type Sent } from '#warehouse';
import { LENGTH_RULE, NewSprocketDto, TEETH_RULE } from './sprocket.dto.js';

const KEYS = ['teeth', 'pitch_diameter', 'outside_diameter', 'pitch'] as const;

export const SPROCKETS: Kind = { name: 'sprockets', one: 'sprocket', key: 'teeth', toObject, fromObject };

function toObject({ value, text, start, pointer }: Sent): Made<string> {
  const mistakes = mistakesIn(NewSprocketDto, value, pointer);
  if (mistakes.length > 0) return { mistakes };
  const texts = new Map(Array.from(membersOf(text, start), (one) => [one.name, text.slice(one.start, one.end)]));
  const pairs = KEYS.map((key) => [key, texts.get(key) ?? ''] as const);
  const bad = pairs.filter(([key, number]) => !fits(key, number));
  if (bad.length === 0) return { made: dataOf(pairs) };
  const detailOf = (key: string): string => (key === 'teeth' ? TEETH_RULE : LENGTH_RULE);
  return { mistakes: bad.map(([key]) => ({ pointer: `${pointer}/${key}`, detail: detailOf(key) })) };
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
