import { elementsOf, membersOf } from '#json';
import { textOf, visitPairs } from './stored-pairs.js';

/** A pair of an object's `data`; the value is JSON text, unchanged. */
export interface Pair {
  key: string;
  keyText: string;
  valueText: string;
}

/** The pairs of stored `data`, in order. */
export function pairsOf(data: string): Pair[] {
  return readList(data);
}

/** The value of the first pair with this key; null when there is none. */
export function valueIn(data: string, key: string): unknown {
  return JSON.parse(readList(data).find((pair) => pair.key === key)?.valueText ?? 'null');
}

/** Builds `data` from keys and values; values are JSON text. */
export function dataOf(pairs: readonly (readonly [key: string, valueText: string])[]): string {
  return write(pairs.map(([key, valueText]) => ({ key, keyText: JSON.stringify(key), valueText })));
}

/** Converts `data` to a list of pairs. A plain object, the shorthand, becomes pairs in the order of its members. */
export function listOfPairs(data: string): string {
  return data.startsWith('{') ? write(readShorthand(data)) : data;
}

/**
 * Applies a merge patch (RFC 7396) to `data`. A key gets the new value at its first position and loses its repetitions; null
 * removes it; a new key is added at the end. A list of pairs replaces everything.
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

/**
 * `data` as it is shown: some keys, and as a list of pairs or as a plain object. In an object a repeated key has a list of its
 * values, which looks like a single value that is a list.
 * @param data as PostgreSQL writes it
 * @param keys null for all
 */
export function dataView(data: string, keys: ReadonlySet<string> | null, isObject: boolean): string {
  const pairs: string[] = [];
  const members = new Map<string, string[]>();
  visitPairs(data, (keyText, valueText) => {
    if (keys?.has(textOf(keyText)) === false) return;
    if (!isObject) {
      pairs.push(`{"key":${keyText},"value":${valueText}}`);
      return;
    }
    const values = members.get(keyText);
    if (values === undefined) members.set(keyText, [valueText]);
    else values.push(valueText);
  });
  if (!isObject) return `[${pairs.join()}]`;
  const texts = Array.from(members, ([keyText, values]) => {
    return `${keyText}:${values.length === 1 ? String(values[0]) : `[${values.join()}]`}`;
  });
  return `{${texts.join()}}`;
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
