import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { TestApi, type TestProject } from '../harness/api.js';
import { places } from '../objects/wire.js';

/** JSON text and its value. */
interface Written<T> {
  text: string;
  value: T;
}

/** A number with its exact decimal value, without the rounding of a double. */
interface Exact {
  number: string;
}

type ExactScalar = string | boolean | null | Exact;

interface SentObject {
  text: string;
  id: string;
  data: { key: string; value: ExactScalar }[];
  subject?: string;
  observed_at?: string;
}

interface SentBatch {
  id: Written<string>;
  objects: SentObject[];
  isIdLast: boolean;
}

/** Normalizes a JSON number to sign, significant digits and exponent. */
function exact(token: string): Exact {
  const [, sign = '', whole = '', fraction = '', exponent = '0'] =
    /^(-?)(\d+)(?:\.(\d+))?(?:[eE]([+-]?\d+))?$/.exec(token) ?? [];
  const digits = (whole + fraction).replace(/^0+/, '');
  const significant = digits.replace(/0+$/, '');
  if (significant === '') return { number: '0' };
  const power = Number(exponent) - fraction.length + (digits.length - significant.length);
  return { number: `${sign}${significant}e${String(power)}` };
}

/** Parses JSON with every number as an Exact. */
function parseExactly(text: string): unknown {
  const tagged = text.replaceAll(/"(?:[^"\\]|\\.)*"|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?/g, (token) =>
    token.startsWith('"') ? token : JSON.stringify(exact(token)),
  );
  return JSON.parse(tagged);
}

const SPECIAL = [
  '/',
  '.',
  '%',
  '?',
  '#',
  '&',
  '=',
  '+',
  ' ',
  '"',
  "'",
  '\\',
  ';',
  ':',
  ',',
  '~',
  '*',
  '$',
  '{',
  '[',
  '<',
  '%2F',
];
const unit = fc.oneof(
  fc.constantFrom(...SPECIAL, 'é', 'e\u0301', '👢', '👩‍🏭', '\u200d', '\ufeff', '\uffff', 'ß', 'ﬁ', '中', 'א'),
  fc.string({ unit: 'binary', minLength: 1, maxLength: 1 }),
);
const unicode = fc.array(unit, { minLength: 1, maxLength: 12 }).map((units) => units.join(''));
const RESERVED = ['keys', 'facets', 'aggregate', 'export', 'search', 'changes'];
const id = unicode
  .map((text) => text.replaceAll(/\p{Cc}/gu, ''))
  .filter((text) => text !== '' && !/^\.{1,2}$/.test(text) && !RESERVED.includes(text));

const digits = fc.array(fc.constantFrom(...'0123456789'), { minLength: 1, maxLength: 25 }).map((list) => list.join(''));
const numberText = fc.oneof(
  fc.constantFrom(
    '12345678901234567890',
    '0.1000',
    '1e400',
    '-0.0',
    '-0',
    '0e7',
    '1E+2',
    '5e-324',
    '9007199254740993',
    '1e-400',
  ),
  fc
    .record({
      sign: fc.constantFrom('', '-'),
      whole: digits.map((text) => text.replace(/^0+(?=.)/, '')),
      fraction: fc.option(digits, { nil: '' }),
      exponent: fc.option(
        fc.tuple(fc.constantFrom('e', 'E'), fc.constantFrom('', '+', '-'), fc.nat(300)).map((parts) => parts.join('')),
        { nil: '' },
      ),
    })
    .map(({ sign, whole, fraction, exponent }) => `${sign}${whole}${fraction === '' ? '' : `.${fraction}`}${exponent}`),
);

function escaped(character: string): string {
  let text = '';
  for (let i = 0; i < character.length; i++) text += `\\u${character.charCodeAt(i).toString(16).padStart(4, '0')}`;
  return text;
}

/** A JSON string with each character unescaped or escaped in one of the ways of JSON. */
const stringOf = (text: fc.Arbitrary<string>): fc.Arbitrary<Written<string>> =>
  fc.tuple(text, fc.infiniteStream(fc.nat(3))).map(([value, styles]) => {
    const pieces = Array.from(value, (character) => {
      const style = Number(styles.next().value);
      if (style === 0) return escaped(character);
      if (style === 1 && character === '/') return '\\/';
      return JSON.stringify(character).slice(1, -1);
    });
    return { text: `"${pieces.join('')}"`, value };
  });

const escapes = fc.constantFrom('\b\f\n\r\t', '"\\/', '\u2028\u2029', '\u001f\u007f\u0080', '', 'null', '1e400');
/** All text that PostgreSQL can store: Unicode without U+0000. */
const storable = fc.oneof(unicode, escapes).map((text) => text.replaceAll('\0', ''));
const scalar: fc.Arbitrary<Written<ExactScalar>> = fc.oneof(
  stringOf(storable),
  numberText.map((text) => ({ text, value: exact(text) })),
  fc.constantFrom(...[true, false, null].map((value) => ({ text: String(value), value }))),
);
const key = stringOf(
  fc
    .oneof(fc.constantFrom('type', 'size', 'key', 'value', '__proto__', 'toString', '1', '0'), storable)
    .map((text) => text || ' '),
);
const space = fc.constantFrom('', '', '', ' ', '\n\t', '\r\n  ');

const data: fc.Arbitrary<Written<SentObject['data']>> = fc
  .record({
    pairs: fc.array(fc.tuple(key, scalar), { maxLength: 6 }),
    isShorthand: fc.boolean(),
    isValueFirst: fc.boolean(),
    s: space,
  })
  .map(({ pairs, isShorthand, isValueFirst, s }) => {
    const value = pairs.map(([name, one]) => ({ key: name.value, value: one.value }));
    if (isShorthand) {
      return { text: `{${pairs.map(([name, one]) => `${s}${name.text}${s}:${s}${one.text}${s}`).join()}}`, value };
    }
    const list = pairs.map(([name, one]) => {
      const members = [`"key"${s}:${s}${name.text}`, `"value":${one.text}${s}`];
      return `${s}{${(isValueFirst ? members.reverse() : members).join()}}`;
    });
    return { text: `[${list.join()}${s}]`, value };
  });

const time = fc.constantFrom(
  { sent: '2024-05-01T12:00:00Z', kept: '2024-05-01T12:00:00Z' },
  { sent: '2024-05-01T12:00:00.123456', kept: '2024-05-01T12:00:00.123456Z' },
  { sent: '2024-05-01T00:00:00.500+02:00', kept: '2024-04-30T22:00:00.5Z' },
);
const object: fc.Arbitrary<SentObject> = fc
  .record({
    id: stringOf(id),
    data,
    subject: fc.option(fc.oneof(stringOf(id), fc.constant({ text: 'null', value: undefined })), { nil: undefined }),
    observed: fc.option(time, { nil: undefined }),
    isDataFirst: fc.boolean(),
    s: space,
  })
  .map((sent) => {
    const { subject, observed, s } = sent;
    const members = [`"object_id":${s}${sent.id.text}`, `"data"${s}:${sent.data.text}`];
    if (sent.isDataFirst) members.reverse();
    if (subject !== undefined) members.unshift(`"subject":${subject.text}${s}`);
    if (observed !== undefined) members.push(`"observed_at":"${observed.sent}"`);
    return {
      text: `{${members.join(`${s},`)}}`,
      id: sent.id.value,
      data: sent.data.value,
      ...(subject?.value === undefined ? {} : { subject: subject.value }),
      ...(observed === undefined ? {} : { observed_at: observed.kept }),
    };
  });
const batch: fc.Arbitrary<SentBatch> = fc.record({
  id: stringOf(id),
  objects: fc.uniqueArray(object, { maxLength: 5, selector: (one) => one.id }),
  isIdLast: fc.boolean(),
});

let api: TestApi;
let project: TestProject;

beforeAll(async () => {
  api = await TestApi.shared();
  project = await api.project();
});
afterAll(() => api.stop());

async function read(path: string): Promise<unknown> {
  const reply = await api.call('GET', path, { key: project.keys.analyst });
  if (reply.status !== 200) throw new Error(`${path} returned ${reply.text}`);
  return parseExactly(reply.text);
}

describe('a posted batch', () => {
  it('is returned with equal ids, order, types and digits', async () => {
    const postAndRead = async ({ id: batchId, objects, isIdLast }: SentBatch): Promise<void> => {
      const members = [`"batch_id":${batchId.text}`, `"objects":[${objects.map((one) => one.text).join()}]`];
      const body = `{${(isIdLast ? members.reverse() : members).join()}}`;
      const reply = await api.call('POST', '/batches', { key: project.keys.producer, body });
      expect([reply.status, reply.text]).toEqual([201, expect.anything()]);
      try {
        const sent = objects.map(({ id: object_id, text: _, ...rest }) => ({ object_id, ...rest }));
        expect(await read(reply.headers.get('location') ?? '')).toEqual({ batch_id: batchId.value, objects: sent });
        for (const one of sent) {
          expect(await read(`/objects/${encodeURIComponent(one.object_id)}`)).toEqual({
            subject: null,
            observed_at: expect.any(String),
            ...one,
            batch_id: batchId.value,
          });
        }
      } finally {
        const path = `/batches/${encodeURIComponent(batchId.value)}?cascade=true`;
        await api.call('DELETE', path, { key: project.keys.admin });
      }
    };
    await fc.assert(fc.asyncProperty(batch, postAndRead), { numRuns: 80 });
    expect(await api.db.sql('SELECT FROM objects WHERE project_id = $1', [project.projectId])).toHaveLength(0);
  });

  it.each([
    ['the largest number', '9'.repeat(131_072)],
    ['the largest number, with an exponent', '1e131071'],
    ['the smallest number', `0.${'0'.repeat(16_382)}1`],
    ['the smallest number, with an exponent', '-1e-16383'],
    ['a zero with an exponent', '0e1000000000'],
    ['all digits before and after the point', `-${'8'.repeat(131_072)}.${'7'.repeat(16_383)}`],
  ])('is returned unchanged at the limits of numeric: %s', async (name, text) => {
    const body = `{"batch_id":"${name}","objects":[{"object_id":"${name}","data":{"n":${text}}}]}`;
    const reply = await api.call('POST', '/batches', { key: project.keys.producer, body });
    expect([reply.status, reply.status === 201 || reply.text]).toEqual([201, true]);
    const whole = await api.call('GET', reply.headers.get('location') ?? '', { key: project.keys.analyst });
    const token = /"value": ?([^}]*)\}/.exec(whole.text)?.[1] ?? '';
    expect(exact(token).number === exact(text).number).toBe(true);
  });

  it.each(['1e131072', `1${'0'.repeat(131_072)}`, '1e-16384', `0.${'0'.repeat(16_383)}1`, '1e1000000001'])(
    'is rejected with a pointer one digit beyond the limits of numeric (%#)',
    async (text) => {
      const body = `{"batch_id":"beyond","objects":[{"object_id":"beyond","data":{"n":${text}}}]}`;
      const reply = await api.call('POST', '/batches', { key: project.keys.producer, body });
      expect([reply.status, ...places(reply)]).toEqual([400, '/objects/0/data/n']);
    },
  );
});
