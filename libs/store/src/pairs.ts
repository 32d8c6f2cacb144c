import { elementsOf, membersOf } from '#json';

/** A pair of an object's `data`, its value to the letter. */
export interface Pair {
  key: string;
  keyText: string;
  valueText: string;
}

/** The pairs of a stored object, in order. */
export function pairsOf(data: string): Pair[] {
  return readList(data);
}

/** The value of the first pair of this key; null where there is none. */
export function valueIn(data: string, key: string): unknown {
  return JSON.parse(readList(data).find((pair) => pair.key === key)?.valueText ?? 'null');
}

/** `data` of keys and values, these as JSON text. */
export function dataOf(pairs: readonly (readonly [key: string, valueText: string])[]): string {
  return write(pairs.map(([key, valueText]) => ({ key, keyText: JSON.stringify(key), valueText })));
}

/** `data` as a list of pairs; the shorthand of a plain object is written out, in its order. */
export function listOfPairs(data: string): string {
  return data.startsWith('{') ? write(readShorthand(data)) : data;
}

/**
 * Merges a patch into `data`, as RFC 7396 would into an object of these keys: a key gets the new value at its first place
 * and its repeats go, null removes it, a new key comes last. A list replaces everything.
 */
export function patchPairs(data: string, patch: string): string {
  if (!patch.startsWith('{')) return patch;
  const changes = new Map(readShorthand(patch).map((pair) => [pair.key, pair]));
  const removed = new Set([...changes.values()].filter((pair) => pair.valueText === 'null').map((pair) => pair.key));
  const kept: Pair[] = [];
  const changed = new Set<string>();
  for (const pair of readList(data)) {
    const change = changes.get(pair.key);
    if (change === undefined) kept.push(pair);
    else if (!removed.has(pair.key) && !changed.has(pair.key)) kept.push(change);
    changed.add(pair.key);
  }
  for (const [key, change] of changes) if (!changed.has(key) && !removed.has(key)) kept.push(change);
  return write(kept);
}

function readShorthand(data: string): Pair[] {
  return Array.from(membersOf(data, 0), ({ name, nameText, start, end }) => ({
    key: name,
    keyText: nameText,
    valueText: data.slice(start, end),
  }));
}

function readList(data: string): Pair[] {
  return Array.from(elementsOf(data, 0), (element) => {
    const pair = { key: '', keyText: '""', valueText: 'null' };
    for (const { name, start, end } of membersOf(data, element.start)) {
      const text = data.slice(start, end);
      if (name === 'value') pair.valueText = text;
      else {
        pair.key = JSON.parse(text) as string;
        pair.keyText = text;
      }
    }
    return pair;
  });
}

function write(pairs: readonly Pair[]): string {
  return `[${pairs.map(({ keyText, valueText }) => `{"key":${keyText},"value":${valueText}}`).join()}]`;
}
