import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { TestApi, type Reply, type TestProject } from '../harness/api.js';

let api: TestApi;
let posting: TestProject;
let putting: TestProject;

beforeAll(async () => {
  api = await TestApi.shared();
  [posting, putting] = [await api.project(), await api.project()];
});
afterAll(() => api.stop());

const TYPE = { 'Content-Type': 'application/x-ndjson' };
const putLines = (project: TestProject, path: string, body: string): Promise<Reply> =>
  api.call('PUT', path, { key: project.keys.producer, body, headers: TYPE });
const post = (body: string): Promise<Reply> => api.call('POST', '/batches', { key: posting.keys.producer, body });
const read = async (project: TestProject, path: string): Promise<string> => {
  const reply = await api.call('GET', path, { key: project.keys.analyst });
  return `${String(reply.status)} ${reply.text}`;
};

/** Strings with a special meaning in COPY, CSV or NDJSON. */
const ODD = [
  '\\.',
  '\\N',
  '\\n',
  '\\x01',
  '"',
  '""',
  "'",
  '\\',
  ',',
  ';',
  '|',
  ' ',
  '$1',
  '\u2028',
  '\u2029',
  '\u00a0',
  '\ufeff',
  '👩‍🏭',
  'e\u0301',
  'null',
  'NULL',
];
/** Control characters are not allowed in ids, but in all other text. */
const CONTROLS = ['\t', '\n', '\r', '\r\n', '\u0001', '\u0002', '\b', '\f', '\u007f', '\u0085', '\n\\.\n'];
const character = fc.oneof(fc.constantFrom(...ODD), fc.string({ unit: 'binary', minLength: 1, maxLength: 1 }));
const idText = fc
  .array(character, { minLength: 1, maxLength: 8 })
  .map((parts) => parts.join('').replaceAll(/\p{Cc}/gu, ''))
  .filter((text) => text.length > 0 && !/^(?:\.{1,2}|keys|facets|aggregate|export|search|changes)$/.test(text));
const anyText = fc
  .array(fc.oneof(character, fc.constantFrom(...CONTROLS)), { minLength: 1, maxLength: 8 })
  .map((parts) => parts.join('').replaceAll('\0', ''))
  .map((text) => (text === '' ? '\u0001' : text));

/** A JSON string in which some characters are escaped unnecessarily. */
const jsonOf = (text: fc.Arbitrary<string>): fc.Arbitrary<string> =>
  fc.tuple(text, fc.infiniteStream(fc.boolean())).map(([value, styles]) => {
    const parts = Array.from(value, (one) => {
      if (styles.next().value === true) return JSON.stringify(one).slice(1, -1);
      return Array.from({ length: one.length }, (_, i) => `\\u${one.charCodeAt(i).toString(16).padStart(4, '0')}`).join(
        '',
      );
    });
    return `"${parts.join('')}"`;
  });
const number = fc.oneof(
  fc.constantFrom('12345678901234567890', '0.1000', '1e400', '-0', '-0.0', '1E+2', '1.50e-7', '9007199254740993'),
  fc.double({ noNaN: true, noDefaultInfinity: true }).map((value) => JSON.stringify(value)),
);
const value = fc.oneof(jsonOf(anyText), fc.constantFrom('""', 'true', 'false', 'null'), number);
/** JSON white space except the line feed, which ends a line. */
const space = fc.constantFrom('', '', ' ', '\t', '\r', ' \r\t');

/** `data` as a list or in shorthand, with its members in either order. */
const data = fc
  .tuple(fc.array(fc.tuple(jsonOf(anyText), value), { maxLength: 5 }), fc.nat(2), space)
  .map(([pairs, style, s]) => {
    if (style === 0) return `{${pairs.map(([key, one]) => `${s}${key}${s}:${s}${one}${s}`).join()}${s}}`;
    const list = pairs.map(([key, one]) => {
      const members = [`"key"${s}:${key}`, `"v\\u0061lue":${s}${one}`];
      return `${s}{${(style === 1 ? members : members.reverse()).join(`${s},`)}}${s}`;
    });
    return `[${list.join()}${s}]`;
  });
const time = fc.constantFrom(
  'null',
  '"2024-05-01T12:00:00.123456Z"',
  '"1999-12-31T23:59:59+14:00"',
  '"0001-01-01T00:00:00"',
);

interface Line {
  id: string;
  text: string;
}

const line: fc.Arbitrary<Line> = fc
  .record({
    id: jsonOf(idText),
    data,
    subject: fc.option(fc.oneof(jsonOf(idText), fc.constant('null')), { nil: undefined }),
    observed: fc.option(time, { nil: undefined }),
    isDataFirst: fc.boolean(),
    s: space,
  })
  .map(({ id, data: pairs, subject, observed, isDataFirst, s }) => {
    const members = [`"object_id":${s}${id}`, `"data"${s}:${pairs}`];
    if (isDataFirst) members.reverse();
    if (subject !== undefined) members.unshift(`"subject":${subject}${s}`);
    if (observed !== undefined) members.push(`${s}"observed_at":${observed}`);
    return { id: JSON.parse(id) as string, text: `${s}{${members.join(`${s},`)}}${s}` };
  });
const batch = fc.record({
  id: idText,
  lines: fc.uniqueArray(line, { maxLength: 6, selector: (one) => one.id }),
  end: fc.constantFrom('\n', '\r\n', '\n\n'),
  isEnded: fc.boolean(),
});

describe('a batch that was put as NDJSON', () => {
  it('equals the same batch posted as JSON', async () => {
    let round = 0;
    const check = async ({
      id,
      lines,
      end,
      isEnded,
    }: typeof batch extends fc.Arbitrary<infer T> ? T : never): Promise<void> => {
      const batchId = `${String(round++)} ${id}`;
      const path = `/batches/${encodeURIComponent(batchId)}`;
      const objects = lines.map((one) => one.text);
      const body = objects.join(end) + (isEnded ? end : '');
      const [posted, put] = await Promise.all([
        post(`{"batch_id":${JSON.stringify(batchId)},"objects":[${objects.join()}]}`),
        putLines(putting, path, body),
      ]);
      expect([posted.status, put.status, put.text]).toEqual([201, 201, put.text]);
      const [whole, ofPosted] = await Promise.all([read(putting, path), read(posting, path)]);
      expect(whole).toBe(ofPosted);
      expect(whole).toMatch(/^200 /);
      // Put in the other format, each is unchanged content.
      const again = { key: putting.keys.producer, body: `{"objects":[${objects.join()}]}` };
      const same = await Promise.all([putLines(posting, path, body), api.call('PUT', path, again)]);
      expect(same.map((reply) => reply.status)).toEqual([200, 200]);
      const both = [[posting.projectId, putting.projectId]];
      await api.db.sql('DELETE FROM objects WHERE project_id = ANY ($1)', both);
      await api.db.sql('DELETE FROM batches WHERE project_id = ANY ($1)', both);
    };
    await fc.assert(fc.asyncProperty(batch, check), { numRuns: 60 });
  });

  it.each([
    ['12345678901234567890', '12345678901234567890'],
    ['0.1000', '0.1000'],
    ['1e400', `1${'0'.repeat(400)}`],
    ['-1e-16383', `-0.${'0'.repeat(16_382)}1`],
    ['9'.repeat(131_072), '9'.repeat(131_072)],
  ])('keeps every digit (%#)', async (sent, kept) => {
    const id = `number-${sent.slice(0, 20)}-${String(sent.length)}`;
    const reply = await putLines(putting, `/batches/${id}`, `{"object_id":"${id}","data":{"n":${sent}}}`);
    expect(reply.status).toBe(201);
    const whole = await read(putting, `/batches/${id}`);
    expect(/"value": ?([^}]*)\}/.exec(whole)?.[1]).toBe(kept);
  });

  it('keeps all objects in order over several chunks and parts', async () => {
    const count = 45_000;
    const lines = Array.from(
      { length: count },
      (_, i) => `{"object_id":"w${String(i)}","data":{"n":${String(i)}.50,"é👢":"\\n${String(i)}"}}\n`,
    );
    expect((await putLines(putting, '/batches/whole', lines.join(''))).status).toBe(201);
    const { objects } = JSON.parse((await read(putting, '/batches/whole')).slice(4)) as {
      objects: { object_id: string; data: { value: unknown }[] }[];
    };
    expect(objects).toHaveLength(count);
    const wrong = objects.findIndex(({ object_id, data: [n, text] }, i) => {
      return object_id !== `w${String(i)}` || n?.value !== i + 0.5 || text?.value !== `\n${String(i)}`;
    });
    expect(wrong).toBe(-1);
    const unchanged = await putLines(putting, '/batches/whole', lines.join(''));
    expect(unchanged.status).toBe(200);
  });
});
