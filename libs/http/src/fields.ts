import { applyDecorators } from '@nestjs/common';
import { ApiProperty, type ApiPropertyOptions } from '@nestjs/swagger';
import { Transform } from 'class-transformer';
import { IsOptional, ValidateBy, ValidateIf } from 'class-validator';
import { DURATION_PATTERN, DURATION_RULE, parseDurationSeconds } from '#platform';
import { EPOCH_SECONDS_MAX, isTime, isTimestamp } from '#platform';

/**
 * Decorators for DTO fields: each says a rule once, as a class-validator check and as the JSON schema that OpenAPI shows
 * and the bulk paths validate with. Messages are written to follow the name of the place: "must be …".
 */
interface FieldOptions {
  description: string;
  example?: unknown;
  /** The member or parameter may be left out. */
  optional?: boolean;
  /** The member may be null, which means the same as left out. */
  nullable?: boolean;
}

/** Text of so many Unicode code points. */
export function TextField(options: FieldOptions & { min?: number; max: number }): PropertyDecorator {
  const { min = 0, max } = options;
  return field(options, { type: 'string', minLength: min, maxLength: max }, textRule(min, max), isTextOf(min, max));
}

/** The id of a batch, an object or a device: 1 to 255 characters, none of them a control character. */
export function IdField(options: FieldOptions): PropertyDecorator {
  const schema = { type: 'string', minLength: 1, maxLength: 255, pattern: ID_PATTERN } as const;
  return field(options, schema, ID_RULE, (value) => typeof value === 'string' && isId(value));
}

const ID_PATTERN = '^[^\\p{Cc}]*$';
const ID = new RegExp(ID_PATTERN, 'u');
export const ID_RULE = 'must be text of 1 to 255 characters without control characters';

/** Whether this can be the id of a batch or an object; for ids that come in an address. */
export function isId(value: string): boolean {
  return isTextOf(1, 255)(value) && ID.test(value);
}

/** A time in RFC 3339; without a zone it is read as UTC. */
export function TimeField(options: FieldOptions): PropertyDecorator {
  return field(options, { type: 'string', format: 'date-time' }, TIME_RULE, isTime);
}

const TIME = 'a time such as 2024-12-10T16:45:00Z (RFC 3339, at most six digits of a second)';
export const TIME_RULE = `must be ${TIME}`;

/** A time in either of the two forms that machines tell it in. */
export function TimestampField({ description, example }: FieldOptions): PropertyDecorator {
  const rule = `must be seconds since 1970, from 0 to ${String(EPOCH_SECONDS_MAX)}, or ${TIME}`;
  const oneOf = [
    { type: 'number', minimum: 0, maximum: EPOCH_SECONDS_MAX },
    { type: 'string', format: 'date-time' },
  ];
  return RuleField({ description, example, oneOf }, rule, isTimestamp);
}

/** How long, in whole units of weeks to seconds. */
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
 * Any number in a body; its digits are to be cut from the text. Infinity is what JavaScript makes of 1e400: what PostgreSQL
 * cannot hold was refused when the body was read.
 */
export function NumberField(options: FieldOptions): PropertyDecorator {
  return field(options, { type: 'number' }, 'must be a number', (value) => typeof value === 'number');
}

/** A whole number in a body. */
export function IntegerField(options: FieldOptions & { min: number; max: number }): PropertyDecorator {
  const { min, max } = options;
  return field(
    options,
    { type: 'integer', minimum: min, maximum: max },
    `must be a whole number from ${String(min)} to ${String(max)}`,
    (value) => Number.isInteger(value) && (value as number) >= min && (value as number) <= max,
  );
}

/** A whole number in a query parameter. */
export function IntegerParameter(options: FieldOptions & { min: number; max: number }): PropertyDecorator {
  return applyDecorators(
    Transform(({ value }: { value: unknown }) =>
      typeof value === 'string' && /^\d{1,15}$/.test(value) ? Number(value) : value,
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

/** A field with a rule of its own, and what OpenAPI shows of it. */
export function RuleField(
  documented: ApiPropertyOptions,
  rule: string,
  check: (value: unknown) => boolean,
): PropertyDecorator {
  const validator = { validate: check, defaultMessage: () => rule };
  return applyDecorators(ApiProperty(documented), ValidateBy({ name: 'rule', validator }));
}

function textRule(min: number, max: number): string {
  return min === 0
    ? `must be text of at most ${String(max)} characters`
    : `must be text of ${String(min)} to ${String(max)} characters`;
}

function isTextOf(min: number, max: number): (value: unknown) => value is string {
  return (value): value is string => {
    if (typeof value !== 'string' || value.length > 2 * max) return false;
    const length = [...value].length;
    return length >= min && length <= max;
  };
}

function field(
  { description, example, optional = false, nullable = false }: FieldOptions,
  schema: ApiPropertyOptions,
  rule: string,
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
