import { endOfValue, jsonbText, skipSpace, type JsonSpan } from '#json';
import type { EventLoopYield } from '#platform';
import type { DataKey } from './data-key.js';
import { isSealedWith, openValue, SEALED_START, sealValue } from './sealed-value.js';

/** Pairs that are looked at between two pauses: 2 ms of work where all of them are sealed or opened. */
const PAIRS_AT_ONCE = 256;
const OPEN_BRACE = 123;
const CLOSE_BRACE = 125;
const COMMA = 44;
const NOWHERE: JsonSpan = { start: 0, end: 0 };

/** The object that has the pairs. */
export interface PairsPlace {
  projectId: number;
  objectId: string;
}

/** Work on the pairs of one object, with a pause now and then: there may be many thousand of them. It returns the new text. */
export type PairsWork = Generator<undefined, string, undefined>;

/** Does the work; other requests are served in its pauses. */
export async function finishPairs(work: PairsWork, turns: EventLoopYield): Promise<string> {
  for (;;) {
    const { done, value } = work.next();
    if (done === true) return value;
    if (turns.isDue) await turns.yield();
  }
}

/**
 * Seals the values of some keys in the text of a list of pairs. Every other character stays as it is.
 *
 * A sealed value opens to the text that PostgreSQL would have written for it, so that its object reads the same whether the value is
 * sealed or not.
 */
export function sealPairs(dataKey: DataKey, place: PairsPlace, keys: ReadonlySet<string>, pairs: string): PairsWork {
  return replaceValues(pairs, '', (key, valueText) =>
    keys.has(key) ? sealValue(dataKey, { ...place, key }, jsonbText(valueText)) : null,
  );
}

/**
 * Opens the values of a list of pairs that are sealed; every other character stays as it is.
 * @param onUnopened called with the key of each value that looks as if it was sealed, and does not open
 */
export function openPairs(
  dataKeys: readonly DataKey[],
  place: PairsPlace,
  pairs: string,
  onUnopened: (key: string, valueText: string) => void,
): PairsWork {
  return replaceValues(pairs, SEALED_START, (key, valueText) => {
    if (!valueText.startsWith(SEALED_START)) return null;
    const opened = openValue(dataKeys, { ...place, key }, valueText);
    if (opened === null) onUnopened(key, valueText);
    return opened;
  });
}

/**
 * Seals the values of these keys with the first of the data keys, also those that are sealed with another one, or twice, and opens the
 * values of other keys. Every other character stays as it is; the text stays the same where nothing has to be changed.
 * @param onUnopened called for each value of these keys that is sealed with one of the data keys and does not open: it was damaged or moved,
 * and stays as it is, because sealed once more it would look like a text of a user
 */
export function resealPairs(
  dataKeys: readonly DataKey[],
  place: PairsPlace,
  keys: ReadonlySet<string>,
  pairs: string,
  onUnopened: () => void,
): PairsWork {
  const [current] = dataKeys;
  if (current === undefined) throw new Error('there is no data key');
  return replaceValues(pairs, '', (key, valueText) => {
    const at = { ...place, key };
    const opened = openValue(dataKeys, at, valueText);
    if (!keys.has(key)) return opened;
    if (opened === null && dataKeys.some((one) => isSealedWith(one, valueText))) {
      onUnopened();
      return null;
    }
    const sealed = sealValue(current, at, opened ?? jsonbText(valueText));
    return sealed === valueText ? null : sealed;
  });
}

/**
 * @param mark text that is in each value that is replaced; without it in a pair, the pair is not looked at
 * @param replacement the new text of a value; null to keep it
 */
function* replaceValues(
  pairs: string,
  mark: string,
  replacement: (key: string, valueText: string) => string | null,
): PairsWork {
  let result = '';
  let copied = 0;
  let pairsRead = 0;
  let marked = pairs.indexOf(mark);
  for (let i = skipSpace(pairs, 1); marked !== -1 && pairs.charCodeAt(i) === OPEN_BRACE;) {
    const { key, value, end } = pairAt(pairs, i);
    if (marked < end) {
      const text = replacement(stringAt(pairs, key), pairs.slice(value.start, value.end));
      if (text !== null) {
        result += pairs.slice(copied, value.start) + text;
        copied = value.end;
      }
      marked = pairs.indexOf(mark, end);
    }
    if (++pairsRead % PAIRS_AT_ONCE === 0) yield;
    i = nextStart(pairs, end);
  }
  return copied === 0 ? pairs : result + pairs.slice(copied);
}

/** One pass without names and generators: it is most of what an object costs whose values are short. */
function pairAt(text: string, start: number): { key: JsonSpan; value: JsonSpan; end: number } {
  let key = NOWHERE;
  let value = NOWHERE;
  let i = skipSpace(text, start + 1);
  while (text.charCodeAt(i) !== CLOSE_BRACE) {
    const nameEnd = endOfValue(text, i);
    const valueStart = skipSpace(text, skipSpace(text, nameEnd) + 1);
    const span = { start: valueStart, end: endOfValue(text, valueStart) };
    const name = stringAt(text, { start: i, end: nameEnd });
    if (name === 'key') key = span;
    else if (name === 'value') value = span;
    i = nextStart(text, span.end);
  }
  return { key, value, end: i + 1 };
}

/** Where the next element or member begins, or the bracket after the last one. */
function nextStart(text: string, end: number): number {
  const i = skipSpace(text, end);
  return text.charCodeAt(i) === COMMA ? skipSpace(text, i + 1) : i;
}

/** The string of which this is the text. */
function stringAt(text: string, { start, end }: JsonSpan): string {
  const written = text.slice(start, end);
  return written.includes('\\') ? (JSON.parse(written) as string) : written.slice(1, -1);
}
