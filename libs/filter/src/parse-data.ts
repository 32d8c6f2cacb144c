import {
  elementsOf,
  inspectJson,
  isObject,
  JSON_DEPTH_MAX,
  JSON_VALUES_MAX,
  membersOf,
  pointerPart,
  scanJson,
  skipSpace,
  VALUE_DEPTH_MAX,
  type JsonMember,
  type JsonSpan,
} from '#json';
import { type EncryptedKeyList, encryptionError } from './encrypted-values.js';
import { FilterError } from './filter-parameters.js';
import { allOf, type Filter, type JsonText, type ValueTest } from './filter.js';
import { PathBudget } from './path-budget.js';

/** How deep `$and`, `$or`, `$nor` and `$not` nest. */
const FILTER_DEPTH_MAX = 8;
/** PostgreSQL compiles the text of `$contains` as a regular expression, which takes about 1 ms for this length. */
const CONTAINS_LENGTH_MAX = 1_000;
/** PostgreSQL keeps 32 compiled expressions; with more, it compiles each of them again for every object. */
const CONTAINS_MAX = 20;

const COMPARISONS = { $gt: 'gt', $gte: 'gte', $lt: 'lt', $lte: 'lte' } as const;
const OPERATORS = ['$eq', '$ne', '$in', '$nin', ...Object.keys(COMPARISONS), '$exists', '$prefix', '$contains', '$not'];
const FILTER_OPERATORS = ['$and', '$or', '$nor', '$not', '$pair'];
/** What other languages write, and the operator that means it. */
const SYMBOLS: Readonly<Record<string, string>> = {
  '>': '$gt',
  '>=': '$gte',
  '<': '$lt',
  '<=': '$lte',
  '=': '$eq',
  '==': '$eq',
  '!=': '$ne',
  '<>': '$ne',
};

/**
 * Parses the filter language of `data`: `{"type":"shoe","cost":{"$gte":10}}`. A repeated name adds a condition.
 * @param encrypted keys whose values no condition can compare
 * @returns a filter for each member
 * @throws FilterError for the first error
 */
export function parseData(text: string, encrypted: EncryptedKeyList = null): Filter[] {
  const { depth, containers, names } = scanJson(text);
  // Before JSON.parse, whose time grows with the number of containers, and before the recursion of this parser.
  if (depth > JSON_DEPTH_MAX) throw invalid('', `must not nest more than ${String(JSON_DEPTH_MAX)} levels deep`);
  if (containers > JSON_VALUES_MAX || names > JSON_VALUES_MAX)
    throw invalid('', `must not have more than ${String(JSON_VALUES_MAX)} values`);
  if (!isJsonObject(text)) throw invalid('', 'must be a JSON object such as {"type":"shoe"}');
  return new DataParser(text, encrypted).parseMembers(skipSpace(text, 0), '', 0);
}

function isJsonObject(text: string): boolean {
  try {
    return isObject(JSON.parse(text));
  } catch {
    return false;
  }
}

/** The key that an operand belongs to. */
interface Key {
  name: string;
  isLiteral: boolean;
}

/** A value in the text with its pointer, and the number of logical operators around it. */
interface Operand extends JsonSpan {
  at: string;
  depth: number;
}

class DataParser {
  private readonly budget = new PathBudget();
  private textSearches = 0;

  constructor(
    private readonly text: string,
    private readonly encrypted: EncryptedKeyList,
  ) {}

  /** The members of the filter that starts at `start`. */
  parseMembers(start: number, at: string, depth: number): Filter[] {
    const filters: Filter[] = [];
    for (const member of membersOf(this.text, start)) {
      const { name } = member;
      const operand = { start: member.start, end: member.end, at: at + pointerPart(name), depth };
      if (name.startsWith('$')) filters.push(this.parseFilterOperator(name, operand));
      else filters.push(this.parseKey({ name, isLiteral: false }, operand));
    }
    // So that empty filters in a list are bounded, too.
    if (filters.length === 0 && depth > 0) rejectIf(this.budget.addOther(), at);
    return filters;
  }

  private parseFilterOperator(name: string, operand: Operand): Filter {
    switch (name) {
      case '$and':
        return allOf(this.parseFilters(name, operand));
      case '$or':
        return { kind: 'or', of: this.parseFilters(name, operand) };
      case '$nor':
        return { kind: 'not', of: { kind: 'or', of: this.parseFilters(name, operand) } };
      case '$not': {
        if (!this.isObject(operand)) throw invalid(operand.at, 'must be a filter, such as {"$not":{"type":"shoe"}}');
        return { kind: 'not', of: allOf(this.parseMembers(operand.start, operand.at, this.deeper(operand))) };
      }
      case '$pair':
        return this.parsePair(operand);
      default:
        throw invalid(operand.at, misplaced(name));
    }
  }

  private parseFilters(name: string, operand: Operand): Filter[] {
    const depth = this.deeper(operand);
    const rule = `must be a list of at least one filter, such as {"${name}":[{"type":"shoe"},{"type":"boot"}]}`;
    if (!this.isList(operand)) throw invalid(operand.at, rule);
    const filters: Filter[] = [];
    for (const { start, end } of elementsOf(this.text, operand.start)) {
      const at = `${operand.at}/${String(filters.length)}`;
      if (!this.isObject({ start, end })) throw invalid(at, 'must be a filter, such as {"type":"shoe"}');
      filters.push(allOf(this.parseMembers(start, at, depth)));
    }
    if (filters.length === 0) throw invalid(operand.at, rule);
    return filters;
  }

  /** `{"$pair": {"key": "$if", "value": …}}`: the condition on one key, taken literally. */
  private parsePair({ at, start, end, depth }: Operand): Filter {
    const rule = 'must be an object of a key and a value, such as {"$pair":{"key":"$if","value":1}}';
    if (!this.isObject({ start, end })) throw invalid(at, rule);
    const members = new Map<string, JsonMember>();
    for (const member of membersOf(this.text, start)) {
      const isExpected = (member.name === 'key' || member.name === 'value') && !members.has(member.name);
      if (!isExpected) throw invalid(at + pointerPart(member.name), rule);
      members.set(member.name, member);
    }
    const [key, value] = [members.get('key'), members.get('value')];
    if (key === undefined || value === undefined) throw invalid(at, rule);
    const name: unknown = JSON.parse(this.textOf(key));
    if (typeof name !== 'string') throw invalid(`${at}/key`, 'must be text');
    return this.parseKey({ name, isLiteral: true }, { start: value.start, end: value.end, at: `${at}/value`, depth });
  }

  /** The condition on a key: a value that it must have, or operators. */
  private parseKey(key: Key, operand: Operand): Filter {
    requireStorable(JSON.stringify(key.name), operand.at);
    const members = this.isObject(operand) ? [...membersOf(this.text, operand.start)] : [];
    const operators = members.filter(({ name }) => name.startsWith('$'));
    if (operators.length === 0) {
      rejectSymbols(key, members, operand.at);
      return this.valueFilter(key, { op: 'eq', value: this.parseValue(operand, { allowsOperators: false }) }, operand);
    }
    const other = members.find(({ name }) => !name.startsWith('$'));
    if (other !== undefined) {
      const detail = 'must be an operator, because other members are; give a value with $eq';
      throw invalid(operand.at + pointerPart(other.name), detail);
    }
    const filters = operators.map(({ name, start, end }) =>
      this.parseOperator(name, key, { start, end, at: operand.at + pointerPart(name), depth: operand.depth }),
    );
    return allOf(filters);
  }

  private parseOperator(name: string, key: Key, operand: Operand): Filter {
    switch (name) {
      case '$eq':
        return this.valueFilter(key, { op: 'eq', value: this.parseValue(operand) }, operand);
      case '$ne':
        return not(this.valueFilter(key, { op: 'eq', value: this.parseValue(operand) }, operand));
      case '$in':
        return this.parseIn(name, key, operand);
      case '$nin':
        return not(this.parseIn(name, key, operand));
      case '$gt':
      case '$gte':
      case '$lt':
      case '$lte': {
        const value = this.parseValue(operand);
        if (!/^["\d-]/.test(value)) throw wrongOperand(key, name, operand, 'a number or text', '10');
        return this.valueFilter(key, { op: COMPARISONS[name], value }, operand);
      }
      case '$exists': {
        const value = this.textOf(operand);
        if (value !== 'true' && value !== 'false') throw wrongOperand(key, name, operand, 'true or false', 'true');
        const exists = this.valueFilter(key, { op: 'exists' }, operand);
        return value === 'true' ? exists : not(exists);
      }
      case '$prefix':
      case '$contains':
        return this.parseTextTest(name, key, operand);
      case '$not':
        return this.parseNot(key, operand);
      default:
        throw invalid(
          operand.at,
          `is not an operator; the operators of a value are ${OPERATORS.join(', ')}. Find a member with this name by {"$eq":{…}}`,
        );
    }
  }

  private parseIn(name: string, key: Key, operand: Operand): Filter {
    if (!this.isList(operand)) throw wrongOperand(key, name, operand, 'a list of values', '[1,2]');
    const values: JsonText[] = [];
    const place = { key: key.name, isLiteral: key.isLiteral };
    rejectIf(encryptionError(this.encrypted, place), operand.at);
    for (const { start, end } of elementsOf(this.text, operand.start)) {
      const at = `${operand.at}/${String(values.length)}`;
      const value = this.parseValue({ start, end, at, depth: operand.depth });
      rejectIf(this.budget.add(place, value), at);
      values.push(value);
    }
    if (values.length === 0) rejectIf(this.budget.add(place, ''), operand.at);
    return { kind: 'value', ...place, test: { op: 'in', values } };
  }

  private parseTextTest(name: '$prefix' | '$contains', key: Key, operand: Operand): Filter {
    const value = this.parseValue(operand);
    if (!value.startsWith('"')) throw wrongOperand(key, name, operand, 'text', '"sh"');
    const text = JSON.parse(value) as string;
    if (name === '$contains' && text.length > CONTAINS_LENGTH_MAX)
      throw invalid(operand.at, `must have at most ${String(CONTAINS_LENGTH_MAX)} UTF-16 units`);
    if (name === '$contains' && ++this.textSearches > CONTAINS_MAX)
      throw invalid(operand.at, `exceeds the limit of ${String(CONTAINS_MAX)} $contains`);
    return this.valueFilter(key, { op: name === '$prefix' ? 'prefix' : 'contains', text }, operand);
  }

  private parseNot(key: Key, operand: Operand): Filter {
    const members = this.isObject(operand) ? [...membersOf(this.text, operand.start)] : [];
    const isOfOperators = members.length > 0 && members.every(({ name }) => name.startsWith('$'));
    if (!isOfOperators) throw wrongOperand(key, '$not', operand, 'an object of operators', '{"$gte":10}');
    return not(this.parseKey(key, { ...operand, depth: this.deeper(operand) }));
  }

  private valueFilter({ name, isLiteral }: Key, test: ValueTest, { at }: Operand): Filter {
    const place = { key: name, isLiteral };
    rejectIf(encryptionError(this.encrypted, place, test.op === 'exists'), at);
    rejectIf(this.budget.add(place, textOfTest(test)), at);
    return { kind: 'value', ...place, test };
  }

  /** @param allowsOperators whether members of the value may have names that begin with `$` */
  private parseValue(operand: Operand, { allowsOperators = true } = {}): JsonText {
    const text = this.textOf(operand);
    requireStorable(text, operand.at);
    if (text.startsWith('"')) return JSON.stringify(JSON.parse(text));
    if (scanJson(text).depth > VALUE_DEPTH_MAX)
      throw invalid(operand.at, `must not nest more than ${String(VALUE_DEPTH_MAX)} levels deep, like stored values`);
    if (!allowsOperators) this.rejectOperatorsIn(operand);
    return text;
  }

  /** A value with an operator inside is rather a mistake than a value. */
  private rejectOperatorsIn({ start, end, at }: Omit<Operand, 'depth'>): void {
    if (this.isList({ start, end })) {
      let index = 0;
      for (const element of elementsOf(this.text, start))
        this.rejectOperatorsIn({ ...element, at: `${at}/${String(index++)}` });
    } else if (this.isObject({ start, end })) {
      for (const member of membersOf(this.text, start)) {
        const memberAt = at + pointerPart(member.name);
        if (member.name.startsWith('$')) {
          const detail =
            'is inside a value, where operators have no meaning; use a dotted key such as {"owner.city":{"$prefix":"L"}}, or $eq for a value with this member';
          throw invalid(memberAt, detail);
        }
        this.rejectOperatorsIn({ start: member.start, end: member.end, at: memberAt });
      }
    }
  }

  private deeper({ at, depth }: Operand): number {
    if (depth === FILTER_DEPTH_MAX)
      throw invalid(at, `must not nest more than ${String(FILTER_DEPTH_MAX)} of $and, $or, $nor and $not`);
    return depth + 1;
  }

  private isObject({ start }: JsonSpan): boolean {
    return this.text.startsWith('{', start);
  }

  private isList({ start }: JsonSpan): boolean {
    return this.text.startsWith('[', start);
  }

  private textOf({ start, end }: JsonSpan): string {
    return this.text.slice(start, end);
  }
}

/** @param pointer JSON Pointer into `data` */
function invalid(pointer: string, detail: string): FilterError {
  return new FilterError('data', detail, pointer);
}

function rejectIf(error: string | null, at: string): void {
  if (error !== null) throw invalid(at, error);
}

/** What a path has of a test with one value. */
function textOfTest(test: ValueTest): JsonText {
  if ('value' in test) return test.value;
  return 'text' in test ? test.text : '';
}

function not(of: Filter): Filter {
  return { kind: 'not', of };
}

/** Rejects what cannot be stored, and so cannot be found: U+0000, an unpaired surrogate, too long a number. */
function requireStorable(value: JsonText, at: string): void {
  const [error] = inspectJson(value, () => false).errors;
  if (error !== undefined) throw invalid(at + error.pointer, error.detail);
}

function rejectSymbols(key: Key, members: readonly JsonMember[], at: string): void {
  const [first] = members;
  const isOfSymbols = members.length > 0 && members.every(({ name }) => Object.hasOwn(SYMBOLS, name));
  if (first === undefined || !isOfSymbols) return;
  const operator = SYMBOLS[first.name] ?? '';
  throw invalid(at + pointerPart(first.name), `is not an operator; write ${exampleOf(key, operator, '10')}`);
}

function wrongOperand(key: Key, operator: string, { at }: Operand, expected: string, example: string): FilterError {
  return invalid(at, `must be ${expected}, such as ${exampleOf(key, operator, example)}`);
}

/** The longest key that an error repeats. */
const QUOTED_KEY_LENGTH_MAX = 40;

function exampleOf({ name, isLiteral }: Key, operator: string, operand: string): string {
  const key = name.length > QUOTED_KEY_LENGTH_MAX ? '"…"' : JSON.stringify(name);
  const condition = `{"${operator}":${operand}}`;
  return isLiteral ? `{"$pair":{"key":${key},"value":${condition}}}` : `{${key}:${condition}}`;
}

/** The error of an operator that is not one of a filter. */
function misplaced(name: string): string {
  if (OPERATORS.includes(name)) return `belongs to a key, such as {"cost":{"${name}":…}}`;
  const list = FILTER_OPERATORS.join(', ');
  return `is not an operator; the operators of a filter are ${list}. Find a key with this name by {"$pair":{"key":${JSON.stringify(name.slice(0, QUOTED_KEY_LENGTH_MAX))},"value":…}}`;
}
