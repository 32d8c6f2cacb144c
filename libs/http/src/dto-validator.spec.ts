import 'reflect-metadata';
import { describe, expect, it } from '@jest/globals';
import { OmitType, PickType } from '@nestjs/swagger';
import { IsArray, IsEmail, Length, ValidateBy, ValidateNested, validateSync } from 'class-validator';
import fc from 'fast-check';
import { DtoValidator, validateDto, type DtoClass, type NestedContext } from './dto-validator.js';
import { IdField, NumberField, RuleField, TextField, TimeField } from './fields.js';

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

class RoomDto {
  @ValidateNested({ context: { dto: NamedDto } satisfies NestedContext })
  newest: NamedDto;

  @IsArray({ message: 'must be a list of readings' })
  @ValidateNested({ each: true, context: { dto: ReadingDto } satisfies NestedContext })
  readings: ReadingDto[];
}

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
const member = fc.oneof(fc.constantFrom('temperature', 'at', 'id', 'name'), fc.string());
const members = fc.array(fc.tuple(member, value), { maxLength: 4 });
const usual = fc.record(
  { temperature: fc.double(), at: fc.constantFrom(null, '2024-12-10T16:45:00Z'), name: fc.constantFrom('all', 'none') },
  { requiredKeys: [] },
);

/** The first error of each member that class-validator finds. */
function byClassValidator(dto: DtoClass, plain: object): string[] {
  const instance = Object.assign(new dto(), plain) as Record<string, unknown>;
  const options = { whitelist: true, forbidNonWhitelisted: true, forbidUnknownValues: false };
  return validateSync(instance, options).map(({ property, constraints = {} }) => {
    if ('whitelistValidation' in constraints) return `${property} is not a member`;
    return `${property} ${instance[property] === undefined ? 'is missing' : String(Object.values(constraints)[0])}`;
  });
}

function byValidator(dto: DtoClass, plain: object): string[] {
  return validateDto(dto, plain, '').listed.map((error) => {
    const { pointer, detail } = error as { pointer: string; detail: string };
    const property = pointer.slice(1).replaceAll('~1', '/').replaceAll('~0', '~');
    return `${property} ${detail.replace(/^is not a member of this body; .*/, 'is not a member')}`;
  });
}

describe('validateDto', () => {
  it.each([ReadingDto, NamedDto, PartDto, PickedDto])('finds the same errors of a %p as class-validator', (dto) => {
    const counts = { valid: 0, invalid: 0 };
    const agree = (first: object, more: [string, unknown][]): void => {
      const own = more.filter(([name, one]) => !(name in Object.prototype) && one !== undefined);
      const plain = { ...first, ...Object.fromEntries(own) };
      const errors = byValidator(dto, plain);
      counts[errors.length === 0 ? 'valid' : 'invalid']++;
      expect([plain, errors.sort()]).toEqual([plain, byClassValidator(dto, plain).sort()]);
    };
    fc.assert(fc.property(usual, members, agree), { numRuns: 1_000 });
    fc.assert(fc.property(usual, fc.constant<[string, unknown][]>([]), agree), { numRuns: 500 });
    expect([counts.valid > 50, counts.invalid > 50]).toEqual([true, true]);
  });

  it('returns pointers to members of nested objects and arrays, below the given pointer', () => {
    const room = { newest: { temperature: 1, name: 'some' }, readings: [{ temperature: 1 }, 7, { 'a/b': 1 }] };
    expect(validateDto(RoomDto, room, '/rooms/3').listed).toEqual([
      { pointer: '/rooms/3/newest/name', detail: 'must be all or none' },
      { pointer: '/rooms/3/readings/1', detail: 'must be an object' },
      { pointer: '/rooms/3/readings/2/temperature', detail: 'is missing' },
      {
        pointer: '/rooms/3/readings/2/a~1b',
        detail: 'is not a member of this body; its members are temperature, at, id',
      },
    ]);
  });

  it('reports one error for a value that is not the expected array or object', () => {
    expect(validateDto(RoomDto, { newest: [], readings: {} }, '').listed).toEqual([
      { pointer: '/newest', detail: 'must be an object' },
      { pointer: '/readings', detail: 'must be a list of readings' },
    ]);
  });

  it.each(['__proto__', 'constructor', 'toString'])('rejects a member named %s', (name) => {
    const plain = JSON.parse(`{"temperature":1,"${name}":1}`) as object;
    expect(byValidator(ReadingDto, plain)).toEqual([`${name} is not a member`]);
  });

  it('reports the expected and the actual length in characters', () => {
    class TextDto {
      @TextField({ min: 2, max: 3, description })
      text: string;
    }
    const detail = (text: unknown): string | undefined => validateDto(TextDto, { text }, '').listed[0]?.detail;
    expect([detail('😀😀😀'), detail('ab')]).toEqual([undefined, undefined]);
    expect(detail('😀')).toBe('must be 2 to 3 characters; got 1');
    expect(detail('a😀😀😀')).toBe('must be 2 to 3 characters; got 4');
    expect(detail('a'.repeat(70_000))).toBe('must be 2 to 3 characters; got 70000');
    expect(detail(7)).toBe('must be text of 2 to 3 characters');
  });

  it('passes the arguments of a class-validator decorator', () => {
    class LengthDto {
      @Length(1, 2, { message: ({ constraints }) => `must be ${constraints.join(' to ')} characters` })
      text: string;
    }
    expect(validateDto(LengthDto, { text: 'ab' }, '').count).toBe(0);
    expect(validateDto(LengthDto, { text: 'abc' }, '').listed[0]?.detail).toBe('must be 1 to 2 characters');
  });
});

describe('DtoValidator', () => {
  const isText = { name: 'text', validator: { validate: (one: unknown) => typeof one === 'string' } };
  class EachDto {
    @ValidateBy(isText, { each: true })
    names: string[];
  }
  class SometimesDto {
    @ValidateBy(isText, { validateIf: () => false })
    name: string;
  }
  class GroupDto {
    @IsEmail({}, { groups: ['write'] })
    email: string;
  }
  class NestedDto {
    @ValidateNested()
    reading: ReadingDto;
  }
  it.each([EachDto, SometimesDto, GroupDto, NestedDto])('rejects %p, which has an unsupported decorator', (dto) => {
    expect(() => DtoValidator.of(dto)).toThrow(`${dto.name}.`);
  });
});
