import { readFileSync } from 'node:fs';
import { describe, expect, it } from '@jest/globals';
import { namesRead, rejectionOf, WITH_URL } from '../../../test/harness/config.js';
import { Config } from './config.js';
import { projectFile } from './project-file.js';

/** OpenTelemetry reads them itself, and the start checks those of the sampler where there is a collector. */
const OF_OPENTELEMETRY = [
  'OTEL_EXPORTER_OTLP_HEADERS',
  'OTEL_SERVICE_NAME',
  'OTEL_TRACES_SAMPLER',
  'OTEL_TRACES_SAMPLER_ARG',
];

interface Documented {
  name: string;
  /** In .env.example the value, in settings.md a cell of the table. */
  value: string;
  text: string;
  isCommentedOut: boolean;
}

/** The settings of .env.example that follow a comment. */
function readExample(): Documented[] {
  const rows = textOf('.env.example').matchAll(/^# (\S.*\.)\n(# )?([A-Z][A-Z0-9_]*)=(.*)$/gm);
  return [...rows].map(([, text = '', mark, name = '', value = '']) => ({
    name,
    value,
    text,
    isCommentedOut: mark !== undefined,
  }));
}

/** The rows of docs/operations/settings.md; one can have several settings. */
function readPage(): Documented[] {
  const rows = textOf('docs/operations/settings.md').matchAll(/^\| (`[A-Z].*?) +\| (.*?) +\| (.*?) +\|$/gm);
  return [...rows].flatMap(([, names = '', value = '', text = '']) =>
    (names.match(/\w+/g) ?? []).map((name) => ({ name, value, text, isCommentedOut: false })),
  );
}

function textOf(path: string): string {
  return readFileSync(projectFile(path), 'utf8');
}

const namesOf = (documented: readonly Documented[]): string[] => documented.map(({ name }) => name).sort();
const valuesOf = (documented: readonly Documented[]): Record<string, string> =>
  Object.fromEntries(documented.map(({ name, value }) => [name, value]));

/** The numbers that a setting accepts, from its error; null for one that is no number. */
function rangeOf(name: string): [string, string] | null {
  try {
    const [, min = '', max = ''] = / from (\d+) to (\d+)/.exec(rejectionOf({ ...WITH_URL, [name]: 'x' }, true)) ?? [];
    return max === '' ? null : [min, max];
  } catch {
    return null;
  }
}

const NUMBER = String.raw`(\d[\d,]*)(?: ([KMGT])iB)?`;
const RANGE = new RegExp(String.raw`${NUMBER}(?: for each process)?(?: \([^)]*\))? to ${NUMBER}`);

/** The numbers of a range such as "0 (none) to 64 GiB". */
function rangeIn(text: string): [string, string] | null {
  const found = RANGE.exec(text.replace(/`?PAGE_SIZE_MAX`?/, '1000'));
  if (found === null) return null;
  const [, min = '', minUnit = '', max = '', maxUnit = ''] = found;
  const bytes = (digits: string, unit: string): string =>
    String(Number(digits.replaceAll(',', '')) * 1024 ** ' KMGT'.indexOf(unit || ' '));
  return [bytes(min, minUnit), bytes(max, maxUnit)];
}

describe('.env.example', () => {
  it('has every setting once, with a comment and its default', () => {
    expect(namesOf(readExample())).toEqual([...namesRead(), ...OF_OPENTELEMETRY].sort());
    expect(new Config(valuesOf(readExample()))).toEqual(new Config({}));
  });

  it.each([
    { WEB_CONCURRENCY: '2' },
    { WEB_CONCURRENCY: '8' },
    { ...WITH_URL, WEB_CONCURRENCY: '32', WORKER: 'inline' },
    { BODY_LIMIT_BYTES: '134217728' },
    { PAGE_SIZE_MAX: '5' },
  ])('has the defaults also in a copy in which only this was changed: %j', (changed) => {
    const copy = valuesOf(readExample().filter(({ isCommentedOut }) => !isCommentedOut));
    expect(new Config({ ...copy, ...changed }, true)).toEqual(new Config(changed, true));
  });
});

describe('docs/operations/settings.md', () => {
  it('has every setting once, with its default', () => {
    expect(namesOf(readPage())).toEqual(namesOf(readExample()));
    const values = valuesOf(readPage());
    for (const { name, value } of readExample().filter(({ isCommentedOut }) => !isCommentedOut))
      expect([name, values[name]?.startsWith(`\`${value}\``)]).toEqual([name, true]);
  });
});

it.each([
  ['.env.example', readExample],
  ['docs/operations/settings.md', readPage],
])('%s has the range of every number', (_, read) => {
  const ranges = new Map(read().map(({ name, text }) => [name, rangeIn(text)]));
  const numbers = [...namesRead()].filter((name) => rangeOf(name) !== null);
  expect(numbers.length).toBeGreaterThan(25);
  for (const name of numbers) expect([name, ranges.get(name)]).toEqual([name, rangeOf(name)]);
});
