import 'reflect-metadata';
import { describe, expect, it } from '@jest/globals';
import { OmitType, PickType } from '@nestjs/swagger';
import { ValidateBy, ValidateNested, validateSync } from 'class-validator';
import fc from 'fast-check';
import { IdField, NumberField, RuleField, TimeField } from './fields.js';
import { fieldsOf, mistakesOf } from './field-rules.js';

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

/** What class-validator itself says of the fields that it knows. */
function told(instance: object): string[] {
  return validateSync(instance, { forbidUnknownValues: false }).flatMap(({ property, constraints }) =>
    Object.values(constraints ?? {}).map((detail) => `${property} ${detail}`),
  );
}

describe('the mistakes of an instance', () => {
  it.each([ReadingDto, NamedDto, PartDto, PickedDto])('of %p are those that class-validator tells', (dto) => {
    const answers = { good: 0, bad: 0 };
    const agree = (first: object, more: [string, unknown][]): void => {
      const own = more.filter(([name]) => !(name in Object.prototype));
      const instance = Object.assign(new dto(), { ...first, ...Object.fromEntries(own) }) as object;
      const mistakes = mistakesOf(instance).map(({ field, detail }) => `${field} ${detail}`);
      answers[mistakes.length === 0 ? 'good' : 'bad']++;
      expect([instance, mistakes.sort()]).toEqual([instance, told(instance).sort()]);
    };
    fc.assert(fc.property(usual, members, agree), { numRuns: 1_000 });
    fc.assert(fc.property(usual, fc.constant<[string, unknown][]>([]), agree), { numRuns: 200 });
    expect([answers.good > 50, answers.bad > 50]).toEqual([true, true]);
  });

  it('are not told of a class with rules of another kind', () => {
    const isText = { name: 'text', validator: { validate: (one: unknown) => typeof one === 'string' } };
    class EachDto {
      @ValidateBy(isText, { each: true })
      names: string[];
    }
    class WordsDto {
      @ValidateBy(isText, { message: 'in other words' })
      name: string;
    }
    class SometimesDto {
      @ValidateBy(isText, { validateIf: () => false })
      name: string;
    }
    class NestedDto {
      @ValidateNested()
      reading: ReadingDto;
    }
    for (const dto of [EachDto, WordsDto, SometimesDto, NestedDto]) expect(() => fieldsOf(dto)).toThrow(`${dto.name}.`);
  });
});
