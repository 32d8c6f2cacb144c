import { PageQuery } from '#platform';
import { ObjectIdField } from '#warehouse';
import { applyDecorators, type Type } from '@nestjs/common';
import { ApiProperty, PickType } from '@nestjs/swagger';
import { ValidateBy } from 'class-validator';
import { isObject } from './thing.js';

/** Of one factory: more make an object that nobody wants to read whole. */
export const POINTS_MAX = 10_000;
/** The last second of the year 9999. */
const TIME_MAX = 253_402_300_799;

export const TIMES_RULE = `must be a list of 1 to ${String(POINTS_MAX)} whole numbers from 0 to ${String(TIME_MAX)}`;
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
  @ApiProperty({ type: [NewFactoryDto], minItems: 1, maxItems: 10_000, description: 'A file of them.' })
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
  return Number.isInteger(value) && value >= 0 && value <= TIME_MAX;
}

function PartField(type: Type): PropertyDecorator {
  const validator = { validate: isObject, defaultMessage: () => 'must be an object' };
  return applyDecorators(ApiProperty({ type }), ValidateBy({ name: 'rule', validator }));
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
  const validate = (value: unknown): boolean =>
    Array.isArray(value) && value.length >= 1 && value.length <= POINTS_MAX && value.every(isElement);
  const items = type === 'number' ? { type } : { type, minimum: 0, maximum: TIME_MAX };
  return applyDecorators(
    ApiProperty({ type: 'array', items, minItems: 1, maxItems: POINTS_MAX, description, example }),
    ValidateBy({ name: 'rule', validator: { validate, defaultMessage: () => rule } }),
  );
}
