import 'reflect-metadata';
import { beforeAll, describe, expect, it } from '@jest/globals';
import { ApiProperty } from '@nestjs/swagger';
import { plainToInstance } from 'class-transformer';
import { getMetadataStorage, IsEmail, validateSync, type ValidationError } from 'class-validator';
import fc from 'fast-check';
import { CreateBatchDto } from './batch.dto.js';
import { BulkSchema } from '#objects';
import { BATCH_DTOS } from './ingest.js';
import { CreateObjectDto, NewObjectDto, PairDto, PatchObjectDto, ReplaceObjectDto } from '#objects';

const DTOS = { CreateBatchDto, CreateObjectDto, ReplaceObjectDto, PatchObjectDto, PairDto };
type Name = keyof typeof DTOS;

const bulk = new BulkSchema(BATCH_DTOS);
beforeAll(() => bulk.onModuleInit());

/** Where the bulk schema finds mistakes, in order; empty where it accepts. */
function byBulk(name: Name, value: unknown): string[] {
  const found = bulk.check(DTOS[name], value)?.errors ?? [];
  return found.map((error) =>
    'pointer' in error ? error.pointer : 'parameter' in error ? error.parameter : error.header,
  );
}

/** The same by the DTO's own decorators, as small bodies are checked. */
function byClass(name: Name, value: unknown): string[] {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return [''];
  const instance = plainToInstance<object, unknown>(DTOS[name], value);
  return validateSync(instance, { whitelist: true, forbidNonWhitelisted: true, forbidUnknownValues: false }).flatMap(
    (error) => pointersOf(error, ''),
  );
}

function pointersOf({ property, constraints, children = [] }: ValidationError, parent: string): string[] {
  const pointer = `${parent}/${property.replaceAll('~', '~0').replaceAll('/', '~1')}`;
  return [...(constraints === undefined ? [] : [pointer]), ...children.flatMap((child) => pointersOf(child, pointer))];
}

const object = { object_id: 'o', data: [{ key: 'k', value: 1 }] };
const created = { ...object, batch_id: 'b' };
const pair = { key: 'k', value: 'v' };
const long = (length: number): string => '👢'.repeat(length);

const GOOD: [Name, unknown][] = [
  ['CreateBatchDto', { batch_id: 'b', objects: [] }],
  ['CreateBatchDto', { batch_id: long(255), objects: [object, { ...object, object_id: long(255) }] }],
  ['CreateBatchDto', { batch_id: ' ', objects: [{ object_id: '/', data: {} }] }],
  ['CreateBatchDto', { batch_id: 'b', objects: [{ ...object, subject: null, observed_at: null }] }],
  [
    'CreateBatchDto',
    { batch_id: 'b', objects: [{ ...object, subject: 's', observed_at: '2024-02-29T12:00:00.123456' }] },
  ],
  ['CreateObjectDto', created],
  ['CreateObjectDto', { ...created, data: {} }],
  ['CreateObjectDto', { ...created, data: [] }],
  ['CreateObjectDto', { ...created, data: { a: 1, b: 'x', c: true, d: null, key: 'k', value: 'v' } }],
  ['CreateObjectDto', { ...created, data: { [long(255)]: '' } }],
  ['CreateObjectDto', { ...created, data: [pair, pair, { value: null, key: long(255) }, { key: ' ', value: false }] }],
  ['CreateObjectDto', { ...created, object_id: 'Keys' }],
  ['ReplaceObjectDto', { data: {} }],
  ['ReplaceObjectDto', { object_id: 'o', batch_id: 'b', data: [pair], subject: null, observed_at: null }],
  ['PatchObjectDto', {}],
  ['PatchObjectDto', { data: { a: null } }],
  ['PatchObjectDto', { subject: null, observed_at: '2024-05-01T12:00:00+02:00' }],
  ['PairDto', pair],
  ['PairDto', { key: 'k', value: null }],
];

const BAD: [Name, unknown, string][] = [
  ['CreateBatchDto', null, ''],
  ['CreateBatchDto', [], ''],
  ['CreateBatchDto', 'b', ''],
  ['CreateBatchDto', { objects: [] }, '/batch_id'],
  ['CreateBatchDto', { batch_id: 'b' }, '/objects'],
  ['CreateBatchDto', { batch_id: null, objects: [] }, '/batch_id'],
  ['CreateBatchDto', { batch_id: '', objects: [] }, '/batch_id'],
  ['CreateBatchDto', { batch_id: long(256), objects: [] }, '/batch_id'],
  ['CreateBatchDto', { batch_id: 'a\tb', objects: [] }, '/batch_id'],
  ['CreateBatchDto', { batch_id: 'a\u009fb', objects: [] }, '/batch_id'],
  ['CreateBatchDto', { batch_id: 'b', objects: {} }, '/objects'],
  ['CreateBatchDto', { batch_id: 'b', objects: null }, '/objects'],
  ['CreateBatchDto', { batch_id: 'b', objects: [], more: 1 }, '/more'],
  ['CreateBatchDto', { batch_id: 'b', objects: [], 'a/b~': 1 }, '/a~1b~0'],
  ['CreateBatchDto', { batch_id: 'b', objects: [object, { data: [] }] }, '/objects/1/object_id'],
  ['CreateBatchDto', { batch_id: 'b', objects: [{ object_id: 'o' }] }, '/objects/0/data'],
  ['CreateBatchDto', { batch_id: 'b', objects: [created] }, '/objects/0/batch_id'],
  ['CreateBatchDto', { batch_id: 'b', objects: [{ ...object, data: [{ key: 'k' }] }] }, '/objects/0/data/0/value'],
  ['CreateObjectDto', object, '/batch_id'],
  ['CreateObjectDto', { ...created, object_id: 5 }, '/object_id'],
  ...['keys', 'facets', 'aggregate', 'export', 'search', 'changes'].map((id): [Name, unknown, string] => [
    'CreateObjectDto',
    { ...created, object_id: id },
    '/object_id',
  ]),
  ['ReplaceObjectDto', { data: {}, object_id: 'export' }, '/object_id'],
  ['CreateObjectDto', { ...created, data: null }, '/data'],
  ['CreateObjectDto', { ...created, data: 'k' }, '/data'],
  ['CreateObjectDto', { ...created, data: 7 }, '/data'],
  ['CreateObjectDto', { ...created, data: [pair, { ...pair, more: 1 }] }, '/data/1/more'],
  ['CreateObjectDto', { ...created, data: [{ value: 1 }] }, '/data/0/key'],
  ['CreateObjectDto', { ...created, data: [{ key: '', value: 1 }] }, '/data/0/key'],
  ['CreateObjectDto', { ...created, data: [{ key: long(256), value: 1 }] }, '/data/0/key'],
  ['CreateObjectDto', { ...created, data: [{ key: 1, value: 1 }] }, '/data/0/key'],
  ['CreateObjectDto', { ...created, data: [{ key: 'k', value: {} }] }, '/data/0/value'],
  ['CreateObjectDto', { ...created, data: [{ key: 'k', value: [1] }] }, '/data/0/value'],
  ['CreateObjectDto', { ...created, subject: '' }, '/subject'],
  ['CreateObjectDto', { ...created, subject: 5 }, '/subject'],
  ['CreateObjectDto', { ...created, subject: 'a\nb' }, '/subject'],
  ['CreateObjectDto', { ...created, observed_at: '2024-02-30T00:00:00Z' }, '/observed_at'],
  ['CreateObjectDto', { ...created, observed_at: 0 }, '/observed_at'],
  ['CreateObjectDto', { ...created, observed_at: '' }, '/observed_at'],
  ['ReplaceObjectDto', {}, '/data'],
  ['ReplaceObjectDto', { data: {}, object_id: null }, '/object_id'],
  ['ReplaceObjectDto', { data: {}, batch_id: '' }, '/batch_id'],
  ['PatchObjectDto', { data: null }, '/data'],
  ['PatchObjectDto', { batch_id: null }, '/batch_id'],
  ['PatchObjectDto', { colour: 1 }, '/colour'],
  ['PairDto', {}, '/key'],
  ['PairDto', { key: 'k' }, '/value'],
];

/** Mistakes inside a shorthand, or of a kind: class-validator names `data` as a whole, the bulk schema the very place. */
const BAD_DATA: unknown[] = [{ '': 1 }, { [long(256)]: 1 }, { a: {} }, { a: 1, b: [] }, [null], ['k'], [pair, 5], [[]]];

describe('the bulk schema and the DTO classes', () => {
  it.each(GOOD)('both accept a %s %j', (name, value) => {
    expect([byBulk(name, value), byClass(name, value)]).toEqual([[], []]);
  });

  it.each(BAD)('both refuse a %s %j at one place', (name, value, pointer) => {
    expect([byBulk(name, value)[0], byClass(name, value)[0]]).toEqual([pointer, pointer]);
  });

  it.each(BAD_DATA.map((data) => [data]))('both refuse data %j', (data) => {
    for (const name of ['CreateObjectDto', 'ReplaceObjectDto', 'PatchObjectDto'] as const) {
      const value = name === 'CreateObjectDto' ? { ...created, data } : { data };
      expect(byBulk(name, value)[0]).toMatch(/^\/data(\/|$)/);
      expect(byClass(name, value)[0]).toMatch(/^\/data(\/|$)/);
    }
  });

  it('agree on any mixture of good and bad members', () => {
    const text = fc.constantFrom<unknown>('a', '', long(255), long(256), 'a\u0000', 'keys', null, 5, {}, []);
    const value = fc.constantFrom<unknown>('x', '', 1, 1.5, true, null, {}, [1]);
    const pairs = fc.array(
      fc.oneof(
        fc.record({ key: text, value }),
        fc.record({ key: text, value, more: value }, { requiredKeys: [] }),
        fc.constantFrom<unknown>(null, 'k', 5),
      ),
      { maxLength: 3 },
    );
    const data = fc.oneof(pairs, fc.dictionary(fc.constantFrom('a', '', 'key', 'b/c', long(256)), value), value);
    const time = fc.constantFrom<unknown>('2024-05-01T00:00:00Z', '2024-05-01', null, 5, '2023-02-29T00:00:00Z');
    const members = { object_id: text, batch_id: text, data, subject: text, observed_at: time };
    const body = fc.oneof(
      fc.record(members),
      fc.record({ ...members, more: value }, { requiredKeys: [] }),
      fc.record({ batch_id: text, objects: fc.array(fc.record(members, { requiredKeys: ['object_id', 'data'] })) }),
    );
    fc.assert(
      fc.property(fc.constantFrom(...(Object.keys(DTOS) as Name[])), body, (name, one) => {
        expect(byBulk(name, one).length === 0).toBe(byClass(name, one).length === 0);
      }),
      { numRuns: 1_000 },
    );
  });
});

interface PropertySchema {
  type?: unknown;
  allOf?: unknown;
  not?: unknown;
  isArray?: boolean;
}

/** What says in OpenAPI's schema the same as a rule of class-validator; a rule that is not here has no equivalent. */
const EQUIVALENTS: Record<string, (schema: PropertySchema) => boolean> = {
  rule: (schema) => typeof schema.type === 'string',
  scalar: (schema) => schema.allOf !== undefined,
  pairs: (schema) => schema.allOf !== undefined,
  reserved: (schema) => schema.not !== undefined,
  isArray: (schema) => schema.isArray === true,
  nestedValidation: (schema) => schema.isArray === true || schema.allOf !== undefined,
};

/** Rules of a class that its schema does not know. */
function rulesWithoutSchema(dto: new () => object): string[] {
  const metadata = getMetadataStorage().getTargetValidationMetadatas(dto, '', true, false);
  return metadata
    .filter((one) => one.type !== 'conditionalValidation')
    .filter((one) => {
      const prototype = dto.prototype as object;
      const schema = Reflect.getMetadata('swagger/apiModelProperties', prototype, one.propertyName) as
        PropertySchema | undefined;
      const has = EQUIVALENTS[one.name ?? one.type];
      return schema === undefined || has?.(schema) !== true;
    })
    .map((one) => `${one.propertyName}: ${one.name ?? one.type}`);
}

describe('a body with more mistakes than can be listed', () => {
  it('lists a hundred and counts them all, piece by piece', () => {
    const objects = [{ object_id: 'a', data: Array<number>(5_000).fill(1) }, { data: [{ key: '' }] }, 7];
    const found = bulk.check(CreateBatchDto, { batch_id: 'b', objects });
    expect([found?.errors.length, found?.errorCount]).toEqual([100, 5_004]);
    expect(found?.errors[99]).toEqual({ pointer: '/objects/0/data/99', detail: 'must be an object' });
  });
});

describe('every rule of a DTO', () => {
  it.each([...Object.values(DTOS), NewObjectDto].map((dto) => [dto.name, dto] as const))(
    'of %s has a schema',
    (_, dto) => {
      expect(getMetadataStorage().getTargetValidationMetadatas(dto, '', true, false).length).toBeGreaterThan(1);
      expect(rulesWithoutSchema(dto)).toEqual([]);
    },
  );

  describe('that has none', () => {
    class Planted {
      @ApiProperty({ type: String })
      @IsEmail()
      email: string;

      @IsEmail()
      hidden: string;
    }
    it('is found', () => {
      expect(rulesWithoutSchema(Planted)).toEqual(['email: isEmail', 'hidden: isEmail']);
    });
  });
});
