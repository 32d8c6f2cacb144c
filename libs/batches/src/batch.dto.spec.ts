import 'reflect-metadata';
import { describe, expect, it } from '@jest/globals';
import { type DtoClass, validateDto } from '#http';
import { isObject } from '#json';
import { validateSync, type ValidationError } from 'class-validator';
import fc from 'fast-check';
import { CreateBatchDto } from './batch.dto.js';
import { CreateObjectDto, NewObjectDto, PairDto, PatchObjectDto, ReplaceObjectDto } from '#objects';

const DTOS = { CreateBatchDto, CreateObjectDto, ReplaceObjectDto, PatchObjectDto, PairDto };
type Name = keyof typeof DTOS;

/** The pointers of the validator's errors, in order. */
function byValidator(name: Name, value: unknown): string[] {
  return validateDto(DTOS[name], value, '').listed.map((error) => ('pointer' in error ? error.pointer : ''));
}

/** The pointers of class-validator's errors, for instances of the classes. */
function byClassValidator(name: Name, value: unknown): string[] {
  if (!isObject(value)) return [''];
  const options = { whitelist: true, forbidNonWhitelisted: true, forbidUnknownValues: false };
  return validateSync(instanceOf(DTOS[name], value), options).flatMap((error) => pointersOf(error, ''));
}

function instanceOf(dto: DtoClass, plain: Record<string, unknown>): object {
  const instance = new dto() as Record<string, unknown>;
  for (const [member, value] of Object.entries(plain)) {
    const element = member === 'objects' ? NewObjectDto : member === 'data' ? PairDto : undefined;
    const list = member === 'data' && isObject(value) ? pairsOfShorthand(value) : value;
    instance[member] =
      element !== undefined && Array.isArray(list)
        ? list.map((one: unknown) => (isObject(one) ? instanceOf(element, one) : one))
        : list;
  }
  return instance;
}

function pairsOfShorthand(shorthand: Record<string, unknown>): object[] {
  return Object.entries(shorthand).map(([key, value]) => ({ key, value }));
}

function pointersOf({ property, constraints, children = [] }: ValidationError, parent: string): string[] {
  const pointer = `${parent}/${property.replaceAll('~', '~0').replaceAll('/', '~1')}`;
  return [...(constraints === undefined ? [] : [pointer]), ...children.flatMap((child) => pointersOf(child, pointer))];
}

const object = { object_id: 'o', data: [{ key: 'k', value: 1 }] };
const created = { ...object, batch_id: 'b' };
const pair = { key: 'k', value: 'v' };
const long = (length: number): string => '👢'.repeat(length);
/** A value with this many levels, lists and objects in turn. */
const nested = (levels: number): unknown =>
  levels === 0 ? 1 : levels % 2 === 0 ? [nested(levels - 1)] : { a: nested(levels - 1) };

const VALID: [Name, unknown][] = [
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
  ['CreateObjectDto', { ...created, data: { a: nested(16), b: {}, c: [] } }],
  ['CreateObjectDto', { ...created, data: [{ key: 'a', value: nested(16) }] }],
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

const INVALID: [Name, unknown, string][] = [
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
  ['CreateObjectDto', { ...created, data: [{ key: 'k', value: nested(17) }] }, '/data/0/value'],
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

/** Data that both reject; the pointers of class-validator can differ. */
const INVALID_DATA: unknown[] = [{ '': 1 }, { [long(256)]: 1 }, { a: nested(17) }, [null], ['k'], [pair, 5]];

describe('the validator and class-validator', () => {
  it.each(VALID)('both accept a %s %j', (name, value) => {
    expect([byValidator(name, value), byClassValidator(name, value)]).toEqual([[], []]);
  });

  it.each(INVALID)('both reject a %s %j with the same pointer', (name, value, pointer) => {
    expect([byValidator(name, value)[0], byClassValidator(name, value)[0]]).toEqual([pointer, pointer]);
  });

  it.each(INVALID_DATA.map((data) => [data]))('both reject data %j', (data) => {
    for (const name of ['CreateObjectDto', 'ReplaceObjectDto', 'PatchObjectDto'] as const) {
      const value = name === 'CreateObjectDto' ? { ...created, data } : { data };
      expect(byValidator(name, value)[0]).toMatch(/^\/data(\/|$)/);
      expect(byClassValidator(name, value)[0]).toMatch(/^\/data(\/|$)/);
    }
  });

  it('reject an array in place of a pair, which class-validator alone would accept as more pairs', () => {
    expect(byValidator('CreateObjectDto', { ...created, data: [pair, [pair]] })).toEqual(['/data/1']);
  });

  it('agree on any combination of valid and invalid members', () => {
    const text = fc.constantFrom<unknown>('a', '', long(255), long(256), 'a\u0000', 'keys', null, 5, {}, []);
    const value = fc.constantFrom<unknown>('x', '', 1, 1.5, true, null, {}, [1], nested(17));
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
        expect(byValidator(name, one).length === 0).toBe(byClassValidator(name, one).length === 0);
      }),
      { numRuns: 1_000 },
    );
  });
});

describe('an error in shorthand data', () => {
  it.each<[string, unknown, string, string]>([
    ['an empty key', { '': 1 }, '/data/', 'is not a valid key: must be 1 to 255 characters; got 0'],
    [
      'a key that is too long',
      { a: 1, [long(256)]: 1 },
      `/data/${long(255)}…`,
      'is not a valid key: must be 1 to 255 characters; got 256',
    ],
    ['a value nested too deep', { 'a/b': nested(17) }, '/data/a~1b', 'must nest at most 16 levels deep'],
  ])('has a pointer to the member: %s', (_, data, pointer, detail) => {
    expect(validateDto(CreateObjectDto, { ...created, data }, '').listed).toEqual([{ pointer, detail }]);
    expect(validateDto(PatchObjectDto, { data }, '/lines/7').listed).toEqual([
      { pointer: `/lines/7${pointer}`, detail },
    ]);
    const batch = { batch_id: 'b', objects: [object, { ...object, data }] };
    expect(validateDto(CreateBatchDto, batch, '').listed).toEqual([{ pointer: `/objects/1${pointer}`, detail }]);
  });
});

describe('a body with more than 100 errors', () => {
  it('lists the first 100 and counts all', () => {
    const objects = [{ object_id: 'a', data: Array<number>(5_000).fill(1) }, { data: [{ key: '' }] }, 7];
    const errors = validateDto(CreateBatchDto, { batch_id: 'b', objects }, '');
    expect([errors.listed.length, errors.count]).toEqual([100, 5_003]);
    expect(errors.listed[99]).toEqual({ pointer: '/objects/0/data/99', detail: 'must be an object' });
  });
});
