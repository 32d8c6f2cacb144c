import { IntegerParameter, pageOf, PageQuery, RuleField } from '#http';
import { FEED_LIST_MAX } from '#feeds';
import { ObjectIdField } from '#objects';
import { ApiProperty, type ApiPropertyOptions } from '@nestjs/swagger';

export const TEETH_RULE = 'must be a whole number above 0';
export const LENGTH_RULE = 'must be a number above 0';

class Measures {
  @MeasureField({ type: 'integer', description: 'How many teeth it has.', example: 12 }, TEETH_RULE)
  teeth: number;

  @MeasureField({ type: 'number', description: 'Across its pitch circle.', example: 3.86 }, LENGTH_RULE)
  pitch_diameter: number;

  @MeasureField({ type: 'number', description: 'Across the tips of its teeth.', example: 4.25 }, LENGTH_RULE)
  outside_diameter: number;

  @MeasureField({ type: 'number', description: 'From one roller of its chain to the next.', example: 1 }, LENGTH_RULE)
  pitch: number;
}

/** A sprocket as it is sent. */
export class NewSprocketDto extends Measures {
  @ObjectIdField({ optional: true, example: 'sprocket-12' })
  id?: string;
}

export class NewSprocketsDto {
  @ApiProperty({ type: [NewSprocketDto], minItems: 1, maxItems: FEED_LIST_MAX, description: 'A file of them.' })
  sprockets: NewSprocketDto[];
}

/** A sprocket as it is read. */
export class SprocketDto extends Measures {
  @ApiProperty({ example: 'sprocket-12' })
  id: string;
}

export class SprocketPageDto extends pageOf(SprocketDto) {}

export class SprocketListQuery extends PageQuery {
  @IntegerParameter({ min: 1, max: 10_000, description: 'The same as page_size; not together with it.' })
  limit?: number;
}

/** A number; whether it fits is judged by its text, for a double would round it. */
function MeasureField(documented: ApiPropertyOptions, rule: string): PropertyDecorator {
  const schema = { ...documented, exclusiveMinimum: 0 } as unknown as ApiPropertyOptions;
  return RuleField(schema, rule, (value) => typeof value === 'number');
}
