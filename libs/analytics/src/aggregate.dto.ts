import type { Filter } from '#filter';
import { ChoiceField, TextField, ValidationErrors, type InputError } from '#http';
import { ApiProperty, OmitType } from '@nestjs/swagger';
import type { Aggregate, Dimension, Op } from './aggregate.js';
import { OPS } from './aggregate.js';
import { BUCKET_RULE, isTimeZone, parseBucket, TIME_ZONE_RULE } from './bucket.js';
import { FilterQuery, filterOf } from '#objects';
import type { Scalar } from '#objects';

/** The filters of lists, without their pages, and without `key` and `value`: here `key` is what is computed. */
class FilterOnlyQuery extends OmitType(FilterQuery, [
  'page',
  'page_size',
  'cursor',
  'count',
  'key',
  'value',
] as const) {}

export class AggregateQuery extends FilterOnlyQuery {
  @ChoiceField({ choices: OPS, description: 'What to compute; docs/aggregates.md explains each.', example: 'count' })
  op: Op;

  @TextField({
    optional: true,
    min: 1,
    max: 255,
    description:
      'The key whose numeric values are computed, not a filter; needed for every op but count, which counts objects without.',
  })
  key?: string;

  @TextField({
    optional: true,
    max: 1_000,
    description: 'One result for each `time` bucket, `subject`, or value of a key, `data.<key>`; left out: one in all.',
    example: 'time',
  })
  by?: string;

  @TextField({
    optional: true,
    max: 1_000,
    description: 'With `by=time`: `15m`, `1h`, `1d`, `1w` or any number of them up to 366d, or `month`.',
    example: '1d',
  })
  bucket?: string;

  @TextField({
    optional: true,
    max: 1_000,
    description: 'With `by=time`: whose days, weeks and months; the IANA name of a time zone. Left out: UTC.',
    example: 'Europe/Lisbon',
  })
  time_zone?: string;

  @TextField({
    optional: true,
    max: 1_000,
    description: 'Splits each group once more, by `subject` or `data.<key>`: all lines of a chart in one request.',
  })
  series?: string;
}

const SCALAR_SCHEMA = { type: ['string', 'number', 'boolean', 'null'] };

export class AggregateResultDto {
  @ApiProperty({
    allOf: [SCALAR_SCHEMA],
    type: Object,
    description: 'The start of the time bucket, the subject, or the value of the key; null in all.',
    example: '2026-11-21T00:00:00Z',
  })
  group: Scalar;

  @ApiProperty({
    allOf: [SCALAR_SCHEMA],
    type: Object,
    required: false,
    description: 'The subject or the value of the key that `series` names; only with `series`.',
  })
  series?: Scalar;

  @ApiProperty({ type: Number, nullable: true, description: 'null where there is nothing to compute.', example: 21.5 })
  value: number | null;

  @ApiProperty({ description: 'How many values this is of; of `count` without a key, how many objects.', example: 4 })
  count: number;
}

export class AggregateDto {
  @ApiProperty({ enum: OPS, example: 'avg' })
  op: Op;

  @ApiProperty({ type: String, nullable: true, example: 'temperature' })
  key: string | null;

  @ApiProperty({
    type: [AggregateResultDto],
    description: 'By rising group, then series; groups of nothing are left out.',
  })
  results: AggregateResultDto[];
}

/** The filters of the question. @throws Problem as `filterOf` */
export function filterOfAggregate({
  data,
  match,
  batch_id,
  subject,
  observed_from,
  observed_until,
}: AggregateQuery): Filter {
  const filters = { data, match, batch_id, subject, observed_from, observed_until };
  return filterOf(Object.fromEntries(Object.entries(filters).filter(([, value]) => value !== undefined)));
}

/** @throws Problem invalid-query naming each parameter that is missing, cannot be understood or has nothing to do here. */
export function aggregateOf(query: AggregateQuery): Aggregate {
  const { op, key = null, by, bucket, time_zone = 'UTC', series } = query;
  const errors: InputError[] = [];
  const refuse = (parameter: keyof AggregateQuery, detail: string): null => {
    errors.push({ parameter, detail });
    return null;
  };

  if (key === null && op !== 'count') refuse('key', `is needed with op=${op}`);
  if (key?.includes('\0') === true) refuse('key', NUL_RULE);
  if (by !== 'time' && bucket !== undefined) refuse('bucket', 'needs by=time');
  if (by !== 'time' && query.time_zone !== undefined) refuse('time_zone', 'needs by=time');
  if (by === undefined && series !== undefined) refuse('series', 'needs by, whose groups it splits');

  const timeDimension = (): Dimension | null => {
    const step = bucket === undefined ? null : parseBucket(bucket);
    if (!isTimeZone(time_zone)) return refuse('time_zone', TIME_ZONE_RULE);
    if (step !== null) return { kind: 'time', bucket: step, timeZone: time_zone };
    return refuse('bucket', bucket === undefined ? 'is needed with by=time, such as bucket=1h' : BUCKET_RULE);
  };
  const dimension = (name: 'by' | 'series', text: string | undefined): Dimension | null => {
    if (text === undefined) return null;
    if (text.includes('\0')) return refuse(name, NUL_RULE);
    if (text === 'subject') return { kind: 'subject' };
    if (name === 'by' && text === 'time') return timeDimension();
    const named = /^data\.(.{1,255})$/su.exec(text)?.[1];
    if (named !== undefined) return { kind: 'key', key: named };
    return refuse(name, `must be ${name === 'by' ? 'time, ' : ''}subject, or data. and a key of 1 to 255 characters`);
  };

  const asked = { op, key, by: dimension('by', by), series: dimension('series', series) };
  if (errors.length > 0) throw new ValidationErrors(...errors).problem('invalid-query');
  return asked;
}

const NUL_RULE = 'holds the character U+0000, which nothing stored has';
