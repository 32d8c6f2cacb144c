import { elementsOf, jsonbText, membersOf } from '#json';
import type { DataKey } from './data-key.js';
import { dataKeyIdOf, openValue, SEALED_PREFIX, sealValue } from './sealed-value.js';

const SEALED_START = `"${SEALED_PREFIX}`;

/** The object that has the pairs. */
export interface PairsPlace {
  projectId: number;
  objectId: string;
}

/**
 * Seals the values of some keys in the text of a list of pairs. Every other character stays as it is.
 *
 * A sealed value opens to the text that PostgreSQL would have written for it, so that its object reads the same whether the value is
 * sealed or not.
 */
export function sealPairs(dataKey: DataKey, place: PairsPlace, keys: ReadonlySet<string>, pairs: string): string {
  return replaceValues(pairs, (key, valueText) =>
    keys.has(key) ? sealValue(dataKey, { ...place, key }, jsonbText(valueText)) : null,
  );
}

/** Opens the values of a list of pairs that are sealed; every other character stays as it is. */
export function openPairs(dataKeys: readonly DataKey[], place: PairsPlace, pairs: string): string {
  if (!pairs.includes(SEALED_PREFIX)) return pairs;
  return replaceValues(pairs, (key, valueText) =>
    valueText.startsWith(SEALED_START) ? openValue(dataKeys, { ...place, key }, valueText) : null,
  );
}

/**
 * Seals the values of these keys with the first of the data keys, also those that are sealed with another one, and opens the values of
 * other keys. Every other character stays as it is; the text stays the same where nothing has to be changed.
 */
export function resealPairs(
  dataKeys: readonly DataKey[],
  place: PairsPlace,
  keys: ReadonlySet<string>,
  pairs: string,
): string {
  const [current] = dataKeys;
  if (current === undefined) throw new Error('there is no data key');
  return replaceValues(pairs, (key, valueText) => {
    const at = { ...place, key };
    const opened = openValue(dataKeys, at, valueText);
    if (!keys.has(key)) return opened;
    const isCurrent = opened !== null && dataKeyIdOf(valueText) === current.id;
    return isCurrent ? null : sealValue(current, at, opened ?? jsonbText(valueText));
  });
}

/** @param replacement the new text of a value; null to keep it */
function replaceValues(pairs: string, replacement: (key: string, valueText: string) => string | null): string {
  let result = '';
  let copied = 0;
  for (const element of elementsOf(pairs, 0)) {
    let key = '';
    let value = { start: 0, end: 0 };
    for (const member of membersOf(pairs, element.start)) {
      if (member.name === 'value') value = member;
      else if (member.name === 'key') key = JSON.parse(pairs.slice(member.start, member.end)) as string;
    }
    const text = replacement(key, pairs.slice(value.start, value.end));
    if (text === null) continue;
    result += pairs.slice(copied, value.start) + text;
    copied = value.end;
  }
  return copied === 0 ? pairs : result + pairs.slice(copied);
}
