import { inspectJson, membersOf, NUMBER_PATTERN, skipSpace } from '#json';
import type { Filter, JsonScalarText } from './filter.js';

/** The query parameters that make a filter; names as on the wire. */
export interface FilterParameters {
  data?: string | undefined;
  match?: 'all' | 'any' | undefined;
  key?: string | undefined;
  value?: string | undefined;
  batch_id?: string | undefined;
  subject?: string | undefined;
  /** Checked RFC 3339 already. */
  observed_from?: string | undefined;
  observed_until?: string | undefined;
}

/** A filter that cannot be understood: which parameter, and why. */
export class FilterError extends Error {
  override name = 'FilterError';

  constructor(
    readonly parameter: keyof FilterParameters,
    detail: string,
  ) {
    super(detail);
  }
}

/** @throws FilterError for the first parameter that is wrong. */
export function parseFilter(parameters: FilterParameters): Filter {
  const { data, match, key, value, batch_id, subject, observed_from, observed_until } = parameters;
  for (const name of ['key', 'value', 'batch_id', 'subject'] as const) refuseNul(name, parameters[name]);
  const of: Filter[] = [];
  if (data !== undefined) of.push(parsePairs(data, match ?? 'all'));
  else if (match !== undefined) throw new FilterError('match', 'needs data, whose pairs it joins');
  if (key !== undefined || value !== undefined) of.push(keyAndValue(key ?? null, value));
  if (batch_id !== undefined) of.push({ kind: 'batch', batchId: batch_id });
  if (subject !== undefined) of.push({ kind: 'subject', subject });
  if (observed_from !== undefined || observed_until !== undefined) {
    of.push({ kind: 'observed', from: observed_from ?? null, until: observed_until ?? null });
  }
  return { kind: 'and', of };
}

/** PostgreSQL has no U+0000 in its text; no stored text can match one. */
function refuseNul(parameter: 'key' | 'value' | 'batch_id' | 'subject', text: string | undefined): void {
  if (text?.includes('\0') === true)
    throw new FilterError(parameter, 'holds the character U+0000, which nothing stored has');
}

/** `data={"type":"shoe","color":"red"}`; a name given twice means two pairs, as keys may repeat in an object. */
function parsePairs(text: string, match: 'all' | 'any'): Filter {
  if (!isJsonObject(text)) throw new FilterError('data', 'must be a JSON object such as {"type":"shoe"}');
  const pairs: Filter[] = [];
  for (const member of membersOf(text, skipSpace(text, 0))) {
    if (member.name.startsWith('$')) {
      throw new FilterError(
        'data',
        `takes no operators such as ${member.name}: give pairs of a key and the value it must have`,
      );
    }
    if (/[{[]/.test(text.charAt(member.start))) {
      throw new FilterError('data', `must give "${member.name}" text, a number, true, false or null`);
    }
    pairs.push({ kind: 'pair', key: member.name, value: text.slice(member.start, member.end) });
  }
  // After the values are known to be flat: the inspection goes as deep as they do.
  const [fault] = inspectJson(text, () => true).faults;
  if (fault !== undefined) throw new FilterError('data', `cannot be matched: ${fault.pointer} ${fault.detail}`);
  if (pairs.length === 0 && match === 'any') throw new FilterError('data', 'must have a pair when match=any');
  return { kind: match === 'any' ? 'or' : 'and', of: pairs };
}

function isJsonObject(text: string): boolean {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null && !Array.isArray(value);
  } catch {
    return false;
  }
}

function keyAndValue(key: string | null, value: string | undefined): Filter {
  if (value === undefined) return { kind: 'pair', key, value: null };
  return { kind: 'or', of: readings(value).map((reading) => ({ kind: 'pair', key, value: reading })) };
}

const LITERAL = new RegExp(`^(?:true|false|null|${NUMBER_PATTERN})$`);

/** A text as what it may stand for: itself, and the number, boolean or null that it reads as. */
function readings(text: string): JsonScalarText[] {
  const isLiteral = LITERAL.test(text);
  const canBeStored = isLiteral && inspectJson(text, () => true).faultCount === 0;
  return [JSON.stringify(text), ...(canBeStored ? [text] : [])];
}
