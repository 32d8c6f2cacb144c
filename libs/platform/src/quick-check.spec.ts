import 'reflect-metadata';
import { describe, expect, it } from '@jest/globals';
import { OmitType, PickType } from '@nestjs/swagger';
import { ValidateBy, ValidateNested, validateSync } from 'class-validator';
import fc from 'fast-check';
import { IdField, NumberField, RuleField, TimeField } from './fields.js';
import { isGood } from './quick-check.js';

const description = 'A field of a test.';

class ReadingDto {
  @NumberField({ description })
  temperature: number;

  @TimeField({ optional: true, nullable: true, description })
  at?: string | null;

  @IdField({ optional: true, description })
  id?: string;
}

class NamedDto extends ReadingDto {
  @RuleField({ description }, 'must be all or none', (value) => value === 'all' || value === 'none')
  name: string;
}

class PartDto extends OmitType(NamedDto, ['temperature'] as const) {}
class PickedDto extends PickType(NamedDto, ['temperature', 'at'] as const) {}

const value = fc.oneof(
  fc.jsonValue({ maxDepth: 1 }),
  fc.constantFrom(
    0,
    -0,
    Infinity,
    'all',
    '10.5',
    '2024-12-10T16:45:00',
    '2024-02-30T00:00:00Z',
    'i\u0007',
    null,
    undefined,
  ),
);
const member = fc.oneof(fc.constantFrom('temperature', 'at', 'id', 'name', 'recordedAt', ''), fc.string());
const members = fc.array(fc.tuple(member, value), { maxLength: 4 });
const usual = fc.record(
  { temperature: fc.double(), at: fc.constantFrom(null, '2024-12-10T16:45:00Z'), name: fc.constantFrom('all', 'none') },
  { requiredKeys: [] },
);

function slowly(instance: object): boolean {
  const options = { whitelist: true, forbidNonWhitelisted: true, forbidUnknownValues: false };
  return validateSync(instance, options).length === 0;
}

describe('a quick check', () => {
  it.each([ReadingDto, NamedDto, PartDto, PickedDto])('says of a %p what class-validator says', (dto) => {
    const answers = { good: 0, bad: 0 };
    const agree = (first: object, more: [string, unknown][]): void => {
      const own = more.filter(([name]) => !(name in Object.prototype));
      const instance = Object.assign(new dto(), { ...first, ...Object.fromEntries(own) }) as object;
      const answer = isGood(instance);
      answers[answer ? 'good' : 'bad']++;
      expect([instance, answer]).toEqual([instance, slowly(instance)]);
    };
    fc.assert(fc.property(usual, members, agree), { numRuns: 1_000 });
    fc.assert(fc.property(usual, fc.constant<[string, unknown][]>([]), agree), { numRuns: 200 });
    expect([answers.good > 50, answers.bad > 50]).toEqual([true, true]);
  });

  it('does not say that it is good where it does not know a rule', () => {
    class EachDto {
      @ValidateBy({ name: 'not-text', validator: { validate: (one) => typeof one !== 'string' } }, { each: true })
      sizes: unknown[];
    }
    class NestedDto {
      @ValidateNested()
      reading: ReadingDto;
    }
    const bad = [
      Object.assign(new EachDto(), { sizes: ['1'] }),
      Object.assign(new NestedDto(), { reading: new ReadingDto() }),
    ];
    expect(bad.map((one) => [slowly(one), isGood(one)])).toEqual(bad.map(() => [false, false]));
  });
});
