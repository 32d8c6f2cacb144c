import { IntegerParameter, pageOf, PageQuery, RuleField } from '#http';
import { FEED_LIST_MAX } from '#feeds';
import { ObjectIdField } from '#objects';
import { ApiProperty, type ApiPropertyOptions } from '@nestjs/swagger';

export const TEETH_RULE = 'must be a whole number greater than 0 and at most 1.8e308';
export const LENGTH_RULE = 'must be a number greater than 0 and at most 1.8e308';

class Measures {
  @MeasureField({ type: 'integer', description: 'Number of teeth.', example: 12 }, TEETH_RULE)
  teeth: number;

  @MeasureField({ type: 'number', description: 'Diameter of the pitch circle.', example: 3.86 }, LENGTH_RULE)
  pitch_diameter: number;

  @MeasureField({ type: 'number', description: 'Diameter over the tips of the teeth.', example: 4.25 }, LENGTH_RULE)
  outside_diameter: number;

  @MeasureField({ type: 'number', description: 'Distance between two rollers of the chain.', example: 1 }, LENGTH_RULE)
  pitch: number;
}

/** A sprocket as it is sent. */
export class NewSprocketDto extends Measures {
  @ObjectIdField({ optional: true, example: 'sprocket-12' })
  id?: string;
}

export class NewSprocketsDto {
  @ApiProperty({ type: [NewSprocketDto], minItems: 1, maxItems: FEED_LIST_MAX, description: 'A file of sprockets.' })
  sprockets: NewSprocketDto[];
}

/** A sprocket as it is read. */
export class SprocketDto extends Measures {
  @ApiProperty({ example: 'sprocket-12' })
  id: string;
}

export class SprocketPageDto extends pageOf(SprocketDto) {}

export class SprocketListQuery extends PageQuery {
  @IntegerParameter({ min: 1, description: 'Another name for page_size; do not send both.' })
  limit?: number;
}

/** A finite number. That it is positive, or whole, is checked on its text, because a double would round it. */
function MeasureField(documented: ApiPropertyOptions, rule: string): PropertyDecorator {
  const schema = { ...documented, exclusiveMinimum: 0 } as unknown as ApiPropertyOptions;
  return RuleField(schema, rule, (value) => Number.isFinite(value));
}
