import { OPS, type Op } from '#analytics';
import { EVENTS, type EventName } from '#events';
import { ChoiceField, isTextOf, type NestedContext, pageOf, PageQuery, RuleField, TextField } from '#http';
import { applyDecorators } from '@nestjs/common';
import { ApiProperty } from '@nestjs/swagger';
import { IsOptional, ValidateIf, ValidateNested } from 'class-validator';

const URL_MAX = 2_000;
const URL_RULE = `must be an http:// or https:// URL of at most ${String(URL_MAX)} characters, without a user name, a fragment, white space or port 0`;
const EVENTS_RULE = `must be a list of one or more of ${EVENTS.join(', ')}, each once`;
const COMPARISONS = ['$gt', '$gte', '$lt', '$lte'] as const;
export type Comparison = (typeof COMPARISONS)[number];
const COMPARE_RULE = `must be an object with one of ${COMPARISONS.join(', ')} and a finite number, such as {"$gt": 30}`;
/** A bucket is looked at twice, so that a day is the largest that is computed every 30 seconds. */
const BUCKET_MINUTES_MAX = 24 * 60;
const THRESHOLD_BUCKET_RULE = 'must be minutes or hours that divide a day, such as 15m or 1h, or 1d';

/** When `threshold.reached` is sent. */
export class ThresholdDto {
  @ChoiceField({ choices: OPS, description: 'What is computed of the objects of each bucket.', example: 'avg' })
  op: Op;

  @TextField({
    optional: true,
    min: 1,
    max: 255,
    description: 'The key whose numbers are computed; optional for `count`.',
    example: 'temperature',
  })
  key?: string;

  @RuleField(
    { type: String, description: 'The length of a bucket of `observed_at`, in UTC.', example: '15m' },
    THRESHOLD_BUCKET_RULE,
    (value) => bucketMinutes(value) !== null,
  )
  bucket: string;

  @RuleField(
    { type: Object, description: 'The operator and the number.', example: { $gt: 30 } },
    COMPARE_RULE,
    isComparison,
  )
  compare: Partial<Record<Comparison, number>>;

  @TextField({ optional: true, min: 1, max: 255, description: 'Only objects about this subject.', example: 'shelf-7' })
  subject?: string;
}

function NameField(optional: boolean): PropertyDecorator {
  return TextField({ optional, min: 1, max: 255, description: 'What the webhook is for.', example: 'stock alerts' });
}

function UrlField(optional: boolean): PropertyDecorator {
  const documented = {
    type: String,
    required: !optional,
    maxLength: URL_MAX,
    description: 'Where events are sent.',
    example: 'https://hooks.example.com/stowage',
  };
  return optionally(optional, RuleField(documented, URL_RULE, isUrl));
}

function EventsField(optional: boolean): PropertyDecorator {
  const documented = {
    enum: [...EVENTS],
    isArray: true,
    required: !optional,
    description: 'The events that are sent.',
    example: ['batch.stored', 'threshold.reached'],
  };
  return optionally(optional, RuleField(documented, EVENTS_RULE, isEvents));
}

function ThresholdField(more = ''): PropertyDecorator {
  return applyDecorators(
    ApiProperty({
      type: ThresholdDto,
      required: false,
      nullable: true,
      description: `Required for \`threshold.reached\`.${more}`,
    }),
    IsOptional(),
    ValidateNested({ context: { dto: ThresholdDto } satisfies NestedContext }),
  );
}

function EnabledField(): PropertyDecorator {
  const documented = {
    type: Boolean,
    required: false,
    description:
      'Whether events are sent. Default: true. A webhook that is not enabled gets no new events, and what is queued waits until it is ' +
      'enabled again.',
    example: true,
  };
  return optionally(
    true,
    RuleField(documented, 'must be true or false', (value) => typeof value === 'boolean'),
  );
}

function optionally(optional: boolean, field: PropertyDecorator): PropertyDecorator {
  return optional
    ? applyDecorators(
        field,
        ValidateIf((_, value) => value !== undefined),
      )
    : field;
}

export class CreateWebhookDto {
  @NameField(false)
  name: string;

  @UrlField(false)
  url: string;

  @EventsField(false)
  events: EventName[];

  @ThresholdField()
  threshold?: ThresholdDto | null;

  @EnabledField()
  is_enabled?: boolean;
}

/** A member that is omitted stays as it is, as in a JSON Merge Patch (RFC 7396), but a threshold is replaced and not merged. */
export class UpdateWebhookDto {
  @NameField(true)
  name?: string;

  @UrlField(true)
  url?: string;

  @EventsField(true)
  events?: EventName[];

  @ThresholdField(' A new threshold replaces the former one; they are not merged.')
  threshold?: ThresholdDto | null;

  @EnabledField()
  is_enabled?: boolean;
}

export class WebhookDto {
  @ApiProperty({ example: '384573930291204096' })
  webhook_id: string;

  @ApiProperty({ example: 'stock alerts' })
  name: string;

  @ApiProperty({ example: 'https://hooks.example.com/stowage' })
  url: string;

  @ApiProperty({ enum: EVENTS, isArray: true, example: ['batch.stored', 'threshold.reached'] })
  events: EventName[];

  @ApiProperty({ type: ThresholdDto, nullable: true, example: null })
  threshold: ThresholdDto | null;

  @ApiProperty({ example: true })
  is_enabled: boolean;

  @ApiProperty({ format: 'date-time', example: '2026-11-21T09:00:00.000Z' })
  created_at: string;
}

export class CreatedWebhookDto extends WebhookDto {
  @ApiProperty({
    description: 'Signs the events (Standard Webhooks). Only this response contains it.',
    example: 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw',
  })
  secret: string;
}

export class WebhookPageDto extends pageOf(WebhookDto) {}

const DELIVERY_STATUSES = ['queued', 'delivered', 'failed'] as const;
export type DeliveryStatus = (typeof DELIVERY_STATUSES)[number];

export class DeliveryListQuery extends PageQuery {
  @ChoiceField({ optional: true, choices: DELIVERY_STATUSES, description: 'Only deliveries in this state.' })
  status?: DeliveryStatus;
}

export class DeliveryDto {
  @ApiProperty({
    description: 'The header `webhook-id` of every attempt is `msg_` and this.',
    example: '384573930291204097',
  })
  delivery_id: string;

  @ApiProperty({ example: 'batch.stored' })
  event: string;

  @ApiProperty({ enum: DELIVERY_STATUSES, description: '`failed` after the last attempt.', example: 'delivered' })
  status: string;

  @ApiProperty({ description: 'Number of attempts since it was queued or retried.', example: 1 })
  attempts: number;

  @ApiProperty({ format: 'date-time', example: '2026-11-21T09:00:00.000Z' })
  created_at: string;

  @ApiProperty({
    type: String,
    format: 'date-time',
    nullable: true,
    description:
      'When the next attempt is due; null while the webhook is not enabled, and for a delivery that is not queued.',
    example: null,
  })
  due_at: string | null;

  @ApiProperty({ type: Number, nullable: true, description: 'Of the last response.', example: 204 })
  response_status: number | null;

  @ApiProperty({ type: String, nullable: true, description: 'Why the last attempt had no response.', example: null })
  error: string | null;

  @ApiProperty({ type: String, format: 'date-time', nullable: true, example: '2026-11-21T09:00:01Z' })
  finished_at: string | null;
}

export class DeliveryPageDto extends pageOf(DeliveryDto) {}

export class RetriedDeliveriesDto {
  @ApiProperty({ description: 'How many failed deliveries are queued again, the oldest first.', example: 12 })
  retried: number;

  @ApiProperty({
    description: 'Whether others have failed, for which there was no room. Repeat the request when some were sent.',
    example: false,
  })
  has_more: boolean;
}

export class TestDeliveryDto {
  @ApiProperty({ example: '384573930291204097' })
  delivery_id: string;
}

/** Null for what is no length of a bucket. */
export function bucketMinutes(value: unknown): number | null {
  if (typeof value !== 'string') return null;
  const [, digits = '', unit = ''] = /^([1-9]\d{0,3})([mhd])$/.exec(value) ?? [];
  const minutes = Number(digits) * ({ m: 1, h: 60, d: BUCKET_MINUTES_MAX }[unit] ?? NaN);
  return BUCKET_MINUTES_MAX % minutes === 0 ? minutes : null;
}

const isUrlText = isTextOf(1, URL_MAX);

function isUrl(value: unknown): boolean {
  if (!isUrlText(value) || !URL.canParse(value)) return false;
  const { protocol, username, password, hash, port } = new URL(value);
  // The parser removes white space, which is a mistake of the caller, and nothing can listen on port 0.
  return /^https?:$/.test(protocol) && username + password + hash === '' && port !== '0' && !/\s/.test(value);
}

function isEvents(value: unknown): boolean {
  if (!Array.isArray(value) || value.length === 0) return false;
  return new Set(value).size === value.length && value.every((one) => EVENTS.includes(one as EventName));
}

function isComparison(value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return false;
  const [[name, number] = [], ...more] = Object.entries(value) as [string, unknown][];
  return more.length === 0 && COMPARISONS.includes(name as Comparison) && Number.isFinite(number);
}
