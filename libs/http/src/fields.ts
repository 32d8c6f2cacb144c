import { applyDecorators } from '@nestjs/common';
import { ApiProperty, type ApiPropertyOptions } from '@nestjs/swagger';
import { Transform } from 'class-transformer';
import { IsOptional, ValidateBy, ValidateIf, type ValidationArguments } from 'class-validator';
import {
  DURATION_PATTERN,
  DURATION_RULE,
  EPOCH_SECONDS_MAX,
  ID_PATTERN,
  isId,
  isSubject,
  isTime,
  isTimeOrDate,
  isTimestamp,
  parseDurationSeconds,
  SUBJECT_PATTERN,
} from '#platform';

/**
 * Decorators for DTO fields: each declares a rule once, for class-validator and for OpenAPI. Error texts follow the location of
 * the error: "/objects/7/object_id must be …".
 */
interface FieldOptions {
  description: string;
  example?: unknown;
  /** The member or parameter may be omitted. */
  optional?: boolean;
  /** The member may be null, which means the same as omitting it, except in a merge patch. */
  nullable?: boolean;
}

/** Text of `min` to `max` Unicode code points. */
export function TextField(options: FieldOptions & { min?: number; max: number }): PropertyDecorator {
  const { min = 0, max } = options;
  const schema = { type: 'string', minLength: min, maxLength: max } as const;
  return field(options, schema, (value) => textError(value, min, max), isTextOf(min, max));
}

/** The id of a batch, an object or a device: 1 to 255 characters, none of them a control character; not `.` or `..`. */
export function IdField(options: FieldOptions): PropertyDecorator {
  const schema = { type: 'string', minLength: 1, maxLength: 255, pattern: ID_PATTERN } as const;
  return field(options, schema, idError, (value) => typeof value === 'string' && isId(value));
}

/** The name of a project: 1 to 255 characters, not only digits, because commands take a name or an id. */
export function ProjectNameField(options: FieldOptions): PropertyDecorator {
  const schema = { type: 'string', minLength: 1, maxLength: 255, pattern: '[^0-9]' } as const;
  const isText = isTextOf(1, 255);
  return field(options, schema, projectNameError, (value) => isText(value) && !ONLY_DIGITS.test(value));
}

/** The subject of an object: 1 to 255 characters, none of them a control character. */
export function SubjectField(options: FieldOptions): PropertyDecorator {
  const schema = { type: 'string', minLength: 1, maxLength: 255, pattern: SUBJECT_PATTERN } as const;
  return field(options, schema, idError, (value) => typeof value === 'string' && isSubject(value));
}

/** A time in RFC 3339; without a zone it is read as UTC. */
export function TimeField(options: FieldOptions): PropertyDecorator {
  return field(options, { type: 'string', format: 'date-time' }, TIME_RULE, isTime);
}

/** PostgreSQL stores microseconds, rejects larger offsets, and would store the leap second as the next minute. */
const TIME =
  'a time such as 2024-12-10T16:45:00Z (RFC 3339; years 1 to 9999, offsets up to 14:59, at most six digits of a second, no leap second)';
export const TIME_RULE = `must be ${TIME}`;

/** A time in a query, which is not stored: RFC 3339, or a date, which means its midnight in UTC. */
export function TimeParameter({ description, example }: Omit<FieldOptions, 'optional'>): PropertyDecorator {
  const schema: ApiPropertyOptions = {
    type: 'string',
    anyOf: [
      { type: 'string', format: 'date-time' },
      { type: 'string', format: 'date' },
    ],
  };
  return field({ description, example, optional: true }, schema, TIME_OR_DATE_RULE, isTimeOrDate);
}

const TIME_OR_DATE_RULE = `must be a date such as 2024-12-10, which is its midnight in UTC, or ${TIME}`;

/** A time in seconds since 1970 or in RFC 3339. */
export function TimestampField({ description, example }: FieldOptions): PropertyDecorator {
  const rule = `must be seconds since 1970, from 0 to ${String(EPOCH_SECONDS_MAX)}, or ${TIME}`;
  const oneOf = [
    { type: 'number', minimum: 0, maximum: EPOCH_SECONDS_MAX },
    { type: 'string', format: 'date-time' },
  ];
  return RuleField({ description, example, oneOf }, rule, isTimestamp);
}

/** A duration such as 1h30m, in whole weeks to seconds. */
export function DurationField(options: FieldOptions): PropertyDecorator {
  const schema = { type: 'string', pattern: DURATION_PATTERN } as const;
  return field(options, schema, DURATION_RULE, (value) => parseDurationSeconds(value) !== null);
}

export function ChoiceField(options: FieldOptions & { choices: readonly string[] }): PropertyDecorator {
  const { choices } = options;
  return field(
    options,
    { type: 'string', enum: [...choices] },
    `must be one of ${choices.join(', ')}`,
    (value) => typeof value === 'string' && choices.includes(value),
  );
}

/**
 * A number in a body. Its digits are cut from the text of the body.
 * @param options `finite` rejects numbers beyond the range of a double, such as 1e400, which JavaScript reads as Infinity
 */
export function NumberField({ finite = false, ...options }: FieldOptions & { finite?: boolean }): PropertyDecorator {
  const rule = (value: unknown): string => (typeof value === 'number' ? FINITE_RULE : 'must be a number');
  return field(options, { type: 'number' }, rule, finite ? Number.isFinite : (value) => typeof value === 'number');
}

export const FINITE_RULE = 'must be a number from -1.8e308 to 1.8e308';

/** A whole number in a body. @param options without `max`, the handler checks the upper limit */
export function IntegerField(options: FieldOptions & { min: number; max?: number }): PropertyDecorator {
  const { min, max } = options;
  return field(
    options,
    { type: 'integer', minimum: min, ...(max === undefined ? {} : { maximum: max }) },
    `must be a whole number ${max === undefined ? `of at least ${String(min)}` : `from ${String(min)} to ${String(max)}`}`,
    (value) => Number.isInteger(value) && (value as number) >= min && (value as number) <= (max ?? Infinity),
  );
}

/** A whole number in a query parameter. @param options see IntegerField */
export function IntegerParameter(options: FieldOptions & { min: number; max?: number }): PropertyDecorator {
  return applyDecorators(
    Transform(({ value }: { value: unknown }) =>
      typeof value === 'string' && /^\d{1,100}$/.test(value) ? Number(value) : value,
    ),
    IntegerField({ optional: true, ...options }),
  );
}

export function FlagParameter(options: FieldOptions): PropertyDecorator {
  return applyDecorators(
    Transform(({ value }: { value: unknown }) => (value === 'true' ? true : value === 'false' ? false : value)),
    field(
      { optional: true, ...options },
      { type: 'boolean' },
      'must be true or false',
      (value) => typeof value === 'boolean',
    ),
  );
}

/** The error text of a field, or a function that returns it for an invalid value. */
type ErrorText = string | ((value: unknown) => string);

/** A field with a rule of its own, and its schema in OpenAPI. */
export function RuleField(
  documented: ApiPropertyOptions,
  rule: ErrorText,
  check: (value: unknown) => boolean,
): PropertyDecorator {
  const defaultMessage = (args?: ValidationArguments): string =>
    typeof rule === 'string' ? rule : rule(args?.value as unknown);
  const validator = { validate: check, defaultMessage };
  return applyDecorators(ApiProperty(documented), ValidateBy({ name: 'rule', validator }));
}

function textError(value: unknown, min: number, max: number): string {
  const length = min === 0 ? `at most ${String(max)} characters` : `${String(min)} to ${String(max)} characters`;
  if (typeof value !== 'string') return `must be text of ${length}`;
  return `must be ${length}; got ${String(codePointsIn(value))}`;
}

const WITHOUT_CONTROLS = new RegExp(SUBJECT_PATTERN, 'u');

/** The error text of an invalid id or subject. */
function idError(value: unknown): string {
  if (value === '.' || value === '..') return 'must not be "." or "..", which URL parsers remove from paths';
  if (typeof value === 'string' && !WITHOUT_CONTROLS.test(value)) return 'must not contain control characters';
  return textError(value, 1, 255);
}

const ONLY_DIGITS = /^[0-9]+$/;

function projectNameError(value: unknown): string {
  const isNumber = typeof value === 'string' && ONLY_DIGITS.test(value);
  return isNumber ? 'must not consist of digits only, like the id of a project' : textError(value, 1, 255);
}

/** A check for text of `min` to `max` Unicode code points. */
export function isTextOf(min: number, max: number): (value: unknown) => value is string {
  return (value): value is string => {
    if (typeof value !== 'string' || value.length < min || value.length > 2 * max) return false;
    // A text of 1 to `max` UTF-16 units has 1 to `max` characters; only others are counted.
    if (min <= 1 && value.length <= max) return true;
    const length = codePointsIn(value);
    return length >= min && length <= max;
  };
}

function codePointsIn(text: string): number {
  let surrogatePairs = 0;
  for (let i = 0; i < text.length; i++) {
    if ((text.codePointAt(i) ?? 0) > 0xffff) {
      surrogatePairs++;
      i++;
    }
  }
  return text.length - surrogatePairs;
}

function field(
  { description, example, optional = false, nullable = false }: FieldOptions,
  schema: ApiPropertyOptions,
  rule: ErrorText,
  check: (value: unknown) => boolean,
): PropertyDecorator {
  const documented = {
    ...schema,
    description,
    required: !optional,
    ...(nullable ? { nullable } : {}),
  } as ApiPropertyOptions;
  return applyDecorators(
    RuleField(example === undefined ? documented : { ...documented, example }, rule, check),
    ...(nullable ? [IsOptional()] : optional ? [ValidateIf((_, value) => value !== undefined)] : []),
  );
}
