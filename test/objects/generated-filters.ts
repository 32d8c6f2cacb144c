import fc from 'fast-check';

/** Random objects and filters with so few keys and values that many match. */
export type Json = string | number | boolean | null | Json[] | { [name: string]: Json };
export type Data = { [name: string]: Json };
export type Pair = [key: string, value: Json];

const KEYS = ['a', 'b', 'owner', 'owner.city', 'a.b', '$x'];
const MEMBERS = ['city', 'b', 'tags', 'geo'];
const scalar = fc.constantFrom<Json>(
  0,
  1,
  1.5,
  -2,
  10,
  12,
  '',
  'a',
  'ab',
  'b',
  'B',
  'é',
  '👢',
  '10',
  // Begins like an encrypted value.
  '$enc1:b',
  true,
  false,
  null,
);
const { value } = fc.letrec<{ value: Json; member: Json }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 3 },
    { arbitrary: scalar, weight: 5 },
    { arbitrary: tie('member'), weight: 2 },
    { arbitrary: fc.array(tie('member'), { maxLength: 3 }), weight: 2 },
  ),
  // Not an array, because the element of an array must not be one.
  member: fc.oneof(
    { maxDepth: 3 },
    { arbitrary: scalar, weight: 2 },
    { arbitrary: fc.dictionary(fc.constantFrom(...MEMBERS), tie('value'), { maxKeys: 2 }), weight: 1 },
  ),
}));
export const pairs: fc.Arbitrary<Pair[]> = fc.array(fc.tuple(fc.constantFrom(...KEYS), value), { maxLength: 6 });

const numberOrText = scalar.filter((one) => typeof one === 'number' || typeof one === 'string');
const text = fc.constantFrom('', 'a', 'b', '1', '👢', '$enc1:');
const operator: fc.Arbitrary<[string, fc.Arbitrary<Json>]> = fc.constantFrom(
  ['$eq', value],
  ['$ne', value],
  ['$in', fc.array(value, { maxLength: 3 })],
  ['$nin', fc.array(value, { maxLength: 3 })],
  ['$gt', numberOrText],
  ['$gte', numberOrText],
  ['$lt', numberOrText],
  ['$lte', numberOrText],
  ['$exists', fc.boolean()],
  ['$prefix', text],
  ['$contains', text],
);
const operation: fc.Arbitrary<Pair> = operator.chain(([name, operand]) => fc.tuple(fc.constant(name), operand));
const operations: fc.Arbitrary<Data> = fc
  .array(operation, { minLength: 1, maxLength: 2 })
  .map((all) => Object.fromEntries(all));
/** Both bounds of a key, which the index may look up together. */
const bounds: fc.Arbitrary<Data> = fc
  .tuple(fc.constantFrom('$gt', '$gte'), numberOrText, fc.constantFrom('$lt', '$lte'), numberOrText)
  .map(([lower, from, upper, until]) => ({ [lower]: from, [upper]: until }));
const condition: fc.Arbitrary<Json> = fc.oneof(
  value,
  operations,
  bounds,
  operations.map((one) => ({ $not: one })),
);
const FILTER_KEYS = ['a', 'b', 'owner', 'owner.city', 'a.b', 'owner.geo.city', 'owner.tags', 'never'];
export const { filter } = fc.letrec<{ filter: Data }>((tie) => {
  const list = fc.array(tie('filter'), { minLength: 1, maxLength: 3 });
  const member: fc.Arbitrary<Pair> = fc.oneof(
    { maxDepth: 3 },
    { arbitrary: fc.tuple(fc.constantFrom(...FILTER_KEYS), condition), weight: 5 },
    {
      arbitrary: fc
        .tuple(fc.constantFrom(...KEYS), condition)
        .map(([key, one]): Pair => ['$pair', { key, value: one }]),
      weight: 1,
    },
    { arbitrary: fc.tuple(fc.constantFrom('$and', '$or', '$nor'), list), weight: 2 },
    { arbitrary: fc.tuple(fc.constant('$not'), tie('filter')), weight: 1 },
  );
  return { filter: fc.array(member, { maxLength: 2 }).map((members) => Object.fromEntries(members)) };
});
