import { isObject } from '#json';
import { EPOCH_SECONDS_MAX, PageQuery, RuleField } from '#platform';
import { FEED_LIST_MAX, ObjectIdField } from '#warehouse';
import type { Type } from '@nestjs/common';
import { ApiProperty, PickType } from '@nestjs/swagger';

/** Of one factory: more make an object that nobody wants to read whole. */
const POINTS_MAX = 10_000;

export const TIMES_RULE = `must be a list of 1 to ${String(POINTS_MAX)} whole numbers from 0 to ${String(EPOCH_SECONDS_MAX)}`;
const SERIES_RULE = `must be a list of 1 to ${String(POINTS_MAX)} numbers`;

export class ChartDataDto {
  @SeriesField('number', 'Sprockets made, one number for each time.', [32, 29], SERIES_RULE)
  sprocket_production_actual: number[];

  @SeriesField('number', 'Sprockets that were to be made.', [32, 30], SERIES_RULE)
  sprocket_production_goal: number[];

  @SeriesField('integer', 'When, in seconds since 1970.', [1611194818, 1611194878], TIMES_RULE)
  time: number[];
}

export class ProductionDto {
  @PartField(ChartDataDto)
  chart_data: ChartDataDto;
}

/** A factory as it is sent. */
export class NewFactoryDto {
  @ObjectIdField({ optional: true, example: 'factory-1' })
  id?: string;

  @PartField(ProductionDto)
  factory: ProductionDto;
}

export class NewFactoriesDto {
  @ApiProperty({ type: [NewFactoryDto], minItems: 1, maxItems: FEED_LIST_MAX, description: 'A file of them.' })
  factories: NewFactoryDto[];
}

/** A factory as it is read. */
export class FactoryDto {
  @ApiProperty({ example: 'factory-1' })
  id: string;

  @ApiProperty({ type: ProductionDto })
  factory: ProductionDto;
}

export class FactoryListDto {
  @ApiProperty({ type: [FactoryDto] })
  factories: FactoryDto[];
}

export class FactoryListQuery extends PickType(PageQuery, ['page_size', 'cursor'] as const) {}

/** Whether this can be a time, as far as a double tells. */
export function isTimeNumber(value: number): boolean {
  return Number.isInteger(value) && value >= 0 && value <= EPOCH_SECONDS_MAX;
}

function PartField(type: Type): PropertyDecorator {
  return RuleField({ type }, 'must be an object', isObject);
}

/** One mistake for the whole list, however many of its elements are bad. */
function SeriesField(
  type: 'number' | 'integer',
  description: string,
  example: number[],
  rule: string,
): PropertyDecorator {
  const isElement = (value: unknown): boolean =>
    typeof value === 'number' && (type === 'number' || isTimeNumber(value));
  const items = type === 'number' ? { type } : { type, minimum: 0, maximum: EPOCH_SECONDS_MAX };
  return RuleField(
    { type: 'array', items, minItems: 1, maxItems: POINTS_MAX, description, example },
    rule,
    (value) => Array.isArray(value) && value.length >= 1 && value.length <= POINTS_MAX && value.every(isElement),
  );
}
