import { afterAll, beforeAll, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { TestApi, type TestProject } from '../harness/api.js';
import { RoomClient } from './room-client.js';

let api: TestApi;
let project: TestProject;
let runs = 0;

beforeAll(async () => {
  api = await TestApi.shared();
  project = await api.project();
});
afterAll(() => api.stop());

/** Normalizes a JSON number to an integer times a power of ten, without the rounding of a double. */
function normalize(token: string): string {
  const [, sign = '', whole = '', fraction = '', exponent = '0'] =
    /^(-?)(\d+)(?:\.(\d+))?(?:[eE]([+-]?\d+))?$/.exec(token) ?? [];
  const digits = (whole + fraction).replace(/^0+/, '');
  const significant = digits.replace(/0+$/, '');
  if (significant === '') return '0';
  return `${sign}${significant}e${String(Number(exponent) - fraction.length + (digits.length - significant.length))}`;
}

const digits = fc.string({ unit: fc.constantFrom(...'0123456789'), minLength: 1, maxLength: 25 });
const number = fc.oneof(
  fc.constantFrom(
    '0',
    '-0',
    '1e300',
    '-1E+300',
    '1e-400',
    '12345678901234567890',
    '10.50',
    '9007199254740993',
    '5e-324',
  ),
  fc
    .tuple(fc.constantFrom('', '-'), digits, fc.option(digits), fc.option(fc.integer({ min: -300, max: 280 })))
    .map(([sign, whole, fraction, exponent]) => {
      const part = fraction === null ? '' : `.${fraction}`;
      return `${sign}${whole.replace(/^0+(?=.)/, '')}${part}${exponent === null ? '' : `e${String(exponent)}`}`;
    }),
);
const pad = (n: number, length: number): string => String(n).padStart(length, '0');
const time = fc
  .record({
    ms: fc.integer({ min: Date.parse('0001-01-03T00:00:00Z'), max: Date.parse('9999-12-29T00:00:00Z') }),
    fraction: fc.oneof(
      fc.constant(''),
      fc.integer({ min: 0, max: 999_999 }).map((micros) => `.${pad(micros, 6)}`),
      fc.integer({ min: 0, max: 9 }).map((tenths) => `.${String(tenths)}`),
    ),
    zone: fc.oneof(
      fc.constantFrom('', 'Z', 'z', '+00:00'),
      fc
        .tuple(fc.constantFrom('+', '-'), fc.nat(14), fc.nat(59))
        .map(([sign, h, m]) => `${sign}${pad(h, 2)}:${pad(m, 2)}`),
    ),
    separator: fc.constantFrom('T', 't'),
  })
  .map(({ ms, fraction, zone, separator }) => {
    return new Date(ms).toISOString().slice(0, 19).replace('T', separator) + fraction + zone;
  });
const reading = fc.record({ temperature: number, recorded_at: fc.option(time) });
const name = fc
  .string({
    unit: fc.constantFrom('/', '%', '2F', '.', '"', "'", '\\', '👢', 'é', 'a', ' ', '?', '#', ';', '$'),
    minLength: 1,
    maxLength: 8,
  })
  .filter((text) => !/^\.{1,2}$/.test(text));

interface ReadingText {
  temperature: string;
  recordedAt: string;
}

/** Returns the readings in a response with their numbers as text. */
function parseReadings(text: string): ReadingText[] {
  const found = text.matchAll(/"temperature": ?([^,]+), ?"recorded_at": ?"([^"]+)"/g);
  return Array.from(found, ([, temperature = '', recordedAt = '']) => ({ temperature, recordedAt }));
}

it('returns a reading with the exact value and time that were sent', async () => {
  await fc.assert(
    fc.asyncProperty(name, name, reading, fc.boolean(), async (building, room, sent, isList) => {
      const client = new RoomClient(api, project, `${String(runs++)}${building}`, room);
      const at = sent.recorded_at === null ? '' : `"recorded_at":"${sent.recorded_at}",`;
      const body = `{${at}"temperature":${sent.temperature}}`;
      const reply = await client.store(isList ? `[${body}]` : body);
      const page = await client.get();
      const [read] = parseReadings(page.text);
      expect(page.json()).toMatchObject({ count: 1, results: [{ building: client.building, room }] });
      expect(normalize(read?.temperature ?? '')).toBe(normalize(sent.temperature));
      if (!isList) {
        const [stored] = parseReadings(reply.text);
        expect([stored?.temperature, stored?.recordedAt]).toEqual([sent.temperature, read?.recordedAt]);
      }
      if (sent.recorded_at === null) return;
      const rows = await api.db.sql<{ same: boolean }>('SELECT $1::timestamptz = $2::timestamptz AS same', [
        sent.recorded_at,
        read?.recordedAt,
      ]);
      expect(rows).toEqual([{ same: true }]);
      // The returned time identifies the same reading.
      await client.store({ temperature: 0, recorded_at: read?.recordedAt });
      expect((await client.get()).json()).toMatchObject({ count: 1, results: [{ temperature: 0 }] });
    }),
    { numRuns: 60 },
  );
});
