import { inspectJson, NUMBER_PATTERN } from '#json';
import { type EncryptedKeyList, encryptionError } from './encrypted-values.js';
import { conjunctsOf, type Filter, type JsonText } from './filter.js';
import { FilterError, type FilterParameters } from './filter-parameters.js';
import { parseData } from './parse-data.js';
import { PathBudget } from './path-budget.js';

/**
 * @param encrypted keys whose values no condition can compare
 * @throws FilterError for the first invalid parameter
 */
export function parseFilter(parameters: FilterParameters, encrypted: EncryptedKeyList = null): Filter {
  const { data, match, key, value, batch_id, subject, subject_prefix, observed_from, observed_until } = parameters;
  for (const name of ['key', 'value', 'batch_id', 'subject', 'subject_prefix'] as const)
    rejectNul(name, parameters[name]);
  const of: Filter[] = [];
  if (data !== undefined) of.push(...parseConditions(data, match ?? 'all', encrypted));
  else if (match !== undefined) throw new FilterError('match', 'requires data, whose conditions it combines');
  if (key !== undefined || value !== undefined) of.push(keyAndValue(key ?? null, value, encrypted));
  if (batch_id !== undefined) of.push({ kind: 'batch', batchId: batch_id });
  if (subject !== undefined) of.push({ kind: 'subject', subject });
  if (subject_prefix !== undefined) of.push({ kind: 'subject_prefix', prefix: subject_prefix });
  if (observed_from !== undefined || observed_until !== undefined) {
    of.push({ kind: 'observed', from: observed_from ?? null, until: observed_until ?? null });
  }
  return { kind: 'and', of };
}

/** PostgreSQL cannot store U+0000, so no stored text contains it. */
function rejectNul(parameter: keyof FilterParameters, text: string | undefined): void {
  if (text?.includes('\0') === true) throw new FilterError(parameter, 'must not contain U+0000');
}

function parseConditions(text: string, match: 'all' | 'any', encrypted: EncryptedKeyList): Filter[] {
  const filters = parseData(text, encrypted);
  if (match === 'all') return filters.flatMap(conjunctsOf);
  if (filters.length === 0) throw new FilterError('data', 'must have at least one condition with match=any');
  return [{ kind: 'or', of: filters }];
}

function keyAndValue(key: string | null, value: string | undefined, encrypted: EncryptedKeyList): Filter {
  const refusal = encryptionError(encrypted, { key, isLiteral: false }, value === undefined);
  if (refusal !== null) throw new FilterError(value === undefined ? 'key' : 'value', refusal);
  if (value === undefined) return { kind: 'value', key, isLiteral: false, test: { op: 'exists' } };
  const [text, ...others] = valuesReadFrom(value);
  const budget = new PathBudget();
  for (const one of [text, ...others]) {
    const error = budget.add({ key, isLiteral: false }, one);
    if (error !== null) throw new FilterError('value', error);
  }
  if (others.length === 0) return { kind: 'value', key, isLiteral: false, test: { op: 'eq', value: text } };
  return { kind: 'value', key, isLiteral: false, test: { op: 'in', values: [text, ...others] } };
}

const LITERAL = new RegExp(`^(?:true|false|null|${NUMBER_PATTERN})$`);

/** The JSON scalars that a text without a type matches: the text, and the number, boolean or null of the same spelling. */
function valuesReadFrom(text: string): [JsonText, ...JsonText[]] {
  const isLiteral = LITERAL.test(text);
  const canBeStored = isLiteral && inspectJson(text, () => true).errorCount === 0;
  return [JSON.stringify(text), ...(canBeStored ? [text] : [])];
}
