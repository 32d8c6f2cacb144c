import { isObject } from '#json';
import { EPOCH_SECONDS_MAX } from '#platform';
import { PageQuery, RuleField } from '#http';
import { FEED_LIST_MAX } from '#feeds';
import { ObjectIdField } from '#objects';
import type { Type } from '@nestjs/common';
import { ApiProperty, PickType } from '@nestjs/swagger';

/** The most points of one factory; a larger object is too large to read at once. */
const POINTS_MAX = 10_000;

export const TIME_RULE = `must be a whole number from 0 to ${String(EPOCH_SECONDS_MAX)}`;
export const NUMBER_RULE = 'must be a number of at most 1.8e308';

export class ChartDataDto {
  @SeriesField({ type: 'number' }, 'Sprockets produced, one number for each time.', [32, 29])
  sprocket_production_actual: number[];

  @SeriesField({ type: 'number' }, 'Sprockets planned, one number for each time.', [32, 30])
  sprocket_production_goal: number[];

  @SeriesField(
    { type: 'integer', minimum: 0, maximum: EPOCH_SECONDS_MAX },
    'Times in seconds since 1970.',
    [1611194818, 1611194878],
  )
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
  @ApiProperty({ type: [NewFactoryDto], minItems: 1, maxItems: FEED_LIST_MAX, description: 'A file of factories.' })
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

/** Whether a number can be a time. Whether it is whole must also be checked on its text, because a double may round it. */
export function isTimeNumber(value: unknown): boolean {
  return typeof value === 'number' && Number.isInteger(value) && value >= 0 && value <= EPOCH_SECONDS_MAX;
}

function PartField(type: Type): PropertyDecorator {
  return RuleField({ type }, 'must be an object', isObject);
}

/** A list of numbers; the elements are validated one by one, each with its pointer. */
function SeriesField(
  items: { type: string; minimum?: number; maximum?: number },
  description: string,
  example: number[],
): PropertyDecorator {
  return RuleField(
    { type: 'array', items, minItems: 1, maxItems: POINTS_MAX, description, example },
    `must be a list of 1 to ${String(POINTS_MAX)} numbers`,
    (value) => Array.isArray(value) && value.length >= 1 && value.length <= POINTS_MAX,
  );
}
