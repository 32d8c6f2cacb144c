import { inspectJson, membersOf, NUMBER_PATTERN, skipSpace } from '#json';
import type { Filter, JsonScalarText } from './filter.js';

/** The query parameters of a filter. */
export interface FilterParameters {
  data?: string | undefined;
  match?: 'all' | 'any' | undefined;
  key?: string | undefined;
  value?: string | undefined;
  batch_id?: string | undefined;
  subject?: string | undefined;
  /** RFC 3339, already validated; the same for `observed_until`. */
  observed_from?: string | undefined;
  observed_until?: string | undefined;
}

/** An invalid filter parameter. */
export class FilterError extends Error {
  override name = 'FilterError';

  constructor(
    readonly parameter: keyof FilterParameters,
    detail: string,
  ) {
    super(detail);
  }
}

/** @throws FilterError for the first invalid parameter */
export function parseFilter(parameters: FilterParameters): Filter {
  const { data, match, key, value, batch_id, subject, observed_from, observed_until } = parameters;
  for (const name of ['key', 'value', 'batch_id', 'subject'] as const) rejectNul(name, parameters[name]);
  const of: Filter[] = [];
  if (data !== undefined) of.push(parsePairs(data, match ?? 'all'));
  else if (match !== undefined) throw new FilterError('match', 'requires data, whose pairs it combines');
  if (key !== undefined || value !== undefined) of.push(keyAndValue(key ?? null, value));
  if (batch_id !== undefined) of.push({ kind: 'batch', batchId: batch_id });
  if (subject !== undefined) of.push({ kind: 'subject', subject });
  if (observed_from !== undefined || observed_until !== undefined) {
    of.push({ kind: 'observed', from: observed_from ?? null, until: observed_until ?? null });
  }
  return { kind: 'and', of };
}

/** PostgreSQL cannot store U+0000, so no stored text contains it. */
function rejectNul(parameter: 'key' | 'value' | 'batch_id' | 'subject', text: string | undefined): void {
  if (text?.includes('\0') === true) throw new FilterError(parameter, 'must not contain U+0000');
}

/** Each pair is a condition with two bind parameters, and with `match=any` a search of the index. */
const PAIRS_MAX = 100;

/** `data={"type":"shoe","color":"red"}`. A repeated name means two pairs, because an object may repeat keys. */
function parsePairs(text: string, match: 'all' | 'any'): Filter {
  if (!isJsonObject(text)) throw new FilterError('data', 'must be a JSON object such as {"type":"shoe"}');
  const pairs: Filter[] = [];
  for (const member of membersOf(text, skipSpace(text, 0))) {
    if (member.name.startsWith('$')) {
      throw new FilterError(
        'data',
        `must not contain operators such as ${member.name}; give pairs of a key and a value`,
      );
    }
    if (/[{[]/.test(text.charAt(member.start))) {
      throw new FilterError('data', `must have text, a number, true, false or null as the value of "${member.name}"`);
    }
    pairs.push({ kind: 'pair', key: member.name, value: text.slice(member.start, member.end) });
  }
  // After the check for nested values, because the inspection recurses into them.
  const [error] = inspectJson(text, () => true).errors;
  if (error !== undefined) throw new FilterError('data', `is invalid at ${error.pointer}: ${error.detail}`);
  if (pairs.length === 0 && match === 'any')
    throw new FilterError('data', 'must have at least one pair with match=any');
  if (pairs.length > PAIRS_MAX) {
    throw new FilterError('data', `must have at most ${String(PAIRS_MAX)} pairs; got ${String(pairs.length)}`);
  }
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
  return { kind: 'or', of: scalarsReadFrom(value).map((scalar) => ({ kind: 'pair', key, value: scalar })) };
}

const LITERAL = new RegExp(`^(?:true|false|null|${NUMBER_PATTERN})$`);

/** The JSON scalars that a text without a type matches: the text, and the number, boolean or null of the same spelling. */
function scalarsReadFrom(text: string): JsonScalarText[] {
  const isLiteral = LITERAL.test(text);
  const canBeStored = isLiteral && inspectJson(text, () => true).errorCount === 0;
  return [JSON.stringify(text), ...(canBeStored ? [text] : [])];
}
