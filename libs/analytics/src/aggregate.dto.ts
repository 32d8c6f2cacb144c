import { type EncryptedKeyList, encryptionError, type Filter } from '#filter';
import { ChoiceField, TextField, ValidationErrors } from '#http';
import { ApiProperty, OmitType } from '@nestjs/swagger';
import type { Aggregate, Dimension, Op } from './aggregate.js';
import { OPS } from './aggregate.js';
import { BUCKET_RULE, isTimeZone, parseBucket, TIME_ZONE_RULE } from './bucket.js';
import { FilterQuery, filterOf, VALUE_SCHEMA, type JsonValue } from '#objects';

/** A filter without `key` and `value`: here `key` names the values to aggregate or to count. */
export class FilterOnlyQuery extends OmitType(FilterQuery, ['key', 'value'] as const) {}

export class AggregateQuery extends FilterOnlyQuery {
  @ChoiceField({ choices: OPS, description: 'What to compute; docs/aggregates.md explains each.', example: 'count' })
  op: Op;

  @TextField({
    optional: true,
    min: 1,
    max: 255,
    description:
      'The key whose numeric values are aggregated; not a filter. Required except with op=count, which counts objects without it.',
  })
  key?: string;

  @TextField({
    optional: true,
    max: 1_000,
    description:
      'One result for each `time` bucket, `subject`, or value of a key (`data.<key>`). Default: one result in all.',
    example: 'time',
  })
  by?: string;

  @TextField({
    optional: true,
    max: 1_000,
    description:
      'With `by=time`: a multiple of `1m`, `1h`, `1d` or `1w` such as `15m`, at most `366d`; or `1mo`, `2mo`, `3mo`, `4mo`, `6mo`, `1y`.',
    example: '1d',
  })
  bucket?: string;

  @TextField({
    optional: true,
    max: 1_000,
    description:
      'With `by=time`: the time zone whose days, weeks, months and years are used, by its IANA name or as an offset such as `-05:00`. Default: UTC.',
    example: 'Europe/Lisbon',
  })
  time_zone?: string;

  @TextField({
    optional: true,
    max: 1_000,
    description: 'Divides each group by `subject` or `data.<key>`, so that one request returns all lines of a chart.',
  })
  series?: string;
}

export class AggregateResultDto {
  @ApiProperty({
    allOf: [VALUE_SCHEMA],
    type: Object,
    description: 'The start of the time bucket, the subject, or the value of the key; null without `by`.',
    example: '2026-11-21T00:00:00Z',
  })
  group: JsonValue;

  @ApiProperty({
    allOf: [VALUE_SCHEMA],
    type: Object,
    required: false,
    description: 'The subject or the value of the key that `series` names; only with `series`.',
  })
  series?: JsonValue;

  @ApiProperty({ type: Number, nullable: true, description: 'null where no value exists.', example: 21.5 })
  value: number | null;

  @ApiProperty({ description: 'The number of values; for `count` without a key the number of objects.', example: 4 })
  count: number;
}

export class AggregateDto {
  @ApiProperty({ enum: OPS, example: 'avg' })
  op: Op;

  @ApiProperty({ type: String, nullable: true, example: 'temperature' })
  key: string | null;

  @ApiProperty({
    type: [AggregateResultDto],
    description: 'In ascending order of group and series; empty groups are omitted.',
  })
  results: AggregateResultDto[];
}

/** The filter of the query. @param encrypted the encrypted keys of the project @throws Problem as `filterOf` */
export function filterOfAggregate(query: FilterOnlyQuery, encrypted: EncryptedKeyList): Filter {
  const { data, match, batch_id, subject, subject_prefix, observed_from, observed_until } = query;
  const filters = { data, match, batch_id, subject, subject_prefix, observed_from, observed_until };
  const given = Object.fromEntries(Object.entries(filters).filter(([, value]) => value !== undefined));
  return filterOf(given, encrypted);
}

export const NUL_RULE = 'must not contain U+0000';

/**
 * @param encrypted the encrypted keys of the project
 * @throws Problem invalid-query with an error for each parameter that is missing, invalid or not allowed with the others
 */
export function aggregateOf(query: AggregateQuery, encrypted: EncryptedKeyList): Aggregate {
  const { op, key = null, by, bucket, time_zone, series } = query;
  const errors = new ValidationErrors();
  if (key === null && op !== 'count') errors.add({ parameter: 'key', detail: `is required with op=${op}` });
  if (key?.includes('\0') === true) errors.add({ parameter: 'key', detail: NUL_RULE });
  if (by !== 'time' && bucket !== undefined) errors.add({ parameter: 'bucket', detail: 'requires by=time' });
  if (by !== 'time' && time_zone !== undefined) errors.add({ parameter: 'time_zone', detail: 'requires by=time' });
  if (by === undefined && series !== undefined) errors.add({ parameter: 'series', detail: 'requires by' });
  const aggregate: Aggregate = {
    op,
    key,
    by: by === 'time' ? parseTimeDimension(query, errors) : parseDimension('by', by, errors),
    series: parseDimension('series', series, errors),
  };
  const keys = { key, by: keyOf(aggregate.by), series: keyOf(aggregate.series) };
  for (const [parameter, name] of Object.entries(keys)) {
    const detail = encryptionError(encrypted, { key: name, isLiteral: true });
    if (detail !== null) errors.add({ parameter, detail });
  }
  if (errors.count > 0) throw errors.problem('invalid-query');
  return aggregate;
}

function keyOf(dimension: Dimension | null): string | null {
  return dimension?.kind === 'key' ? dimension.key : null;
}

/** Null after adding an error. */
function parseTimeDimension({ bucket, time_zone = 'UTC' }: AggregateQuery, errors: ValidationErrors): Dimension | null {
  const parsed = bucket === undefined ? null : parseBucket(bucket);
  const isZone = isTimeZone(time_zone);
  if (parsed === null) {
    const detail = bucket === undefined ? 'is required with by=time, for example bucket=1h' : BUCKET_RULE;
    errors.add({ parameter: 'bucket', detail });
  }
  if (!isZone) errors.add({ parameter: 'time_zone', detail: TIME_ZONE_RULE });
  return parsed !== null && isZone ? { kind: 'time', bucket: parsed, timeZone: time_zone } : null;
}

/** Null where the parameter is left out, and after adding an error. */
function parseDimension(
  parameter: 'by' | 'series',
  text: string | undefined,
  errors: ValidationErrors,
): Dimension | null {
  if (text === undefined) return null;
  if (text === 'subject') return { kind: 'subject' };
  const key = /^data\.(.{1,255})$/su.exec(text)?.[1];
  if (key !== undefined && !text.includes('\0')) return { kind: 'key', key };
  const choices = parameter === 'by' ? 'time, subject' : 'subject';
  const rule = `must be ${choices}, or data.<key> with a key of 1 to 255 characters`;
  errors.add({ parameter, detail: text.includes('\0') ? NUL_RULE : rule });
  return null;
}
