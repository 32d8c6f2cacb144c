import { elementsOf, findMember } from '#json';
import { mistakesIn, type InputError } from '#platform';
import { dataOf, type ObjectRow } from '#warehouse';
import { ChartDataDto, isTimeNumber, NewFactoryDto, POINTS_MAX, ProductionDto, TIMES_RULE } from './factory.dto.js';
import { isWhole } from './number-text.js';
import { isObject, type Kind, type Made } from './thing.js';

const KEYS = ['sprocket_production_actual', 'sprocket_production_goal', 'time'] as const;

/**
 * A pair as PostgreSQL and we write it, its value up to what no number has. A page may hold millions of them, which as
 * `pairsOf` reads them take 2 µs each.
 */
const PAIR = new RegExp(`\\{"key": ?"(${KEYS.join('|')})", ?"value": ?([^"}]*)`, 'g');

export const FACTORIES: Kind = { name: 'factories', key: 'time', toObject, fromObject };

function toObject(value: unknown, text: string, start: number, parent: string): Made {
  const shape = shapeMistakes(value, parent);
  if (shape.length > 0) return { mistakes: shape };
  const pointer = `${parent}/factory/chart_data`;
  const chart = startOf(text, startOf(text, start, 'factory'), 'chart_data');
  const series = KEYS.map((key) =>
    Array.from(elementsOf(text, startOf(text, chart, key)), (one) => text.slice(one.start, one.end)),
  );
  const [actual = [], , times = []] = series;
  const mistakes = KEYS.filter((_, place) => series[place]?.length !== actual.length).map((key) => ({
    pointer: `${pointer}/${key}`,
    detail: `must have ${String(actual.length)} points, as sprocket_production_actual has`,
  }));
  // A double took 1.00000000000000000001 for a whole number.
  if (!times.every(isWhole)) mistakes.push({ pointer: `${pointer}/time`, detail: TIMES_RULE });
  if (mistakes.length > 0) return { mistakes };
  return {
    data: dataOf(times.flatMap((_, point) => KEYS.map((key, place) => [key, series[place]?.[point] ?? ''] as const))),
  };
}

function fromObject({ object_id, data }: Pick<ObjectRow, 'object_id' | 'data'>): string | undefined {
  const series: Record<string, string[]> = Object.fromEntries(KEYS.map((key) => [key, []]));
  for (const [, key = '', number = ''] of data.matchAll(PAIR)) series[key]?.push(number);
  const { time = [] } = series;
  const isFactory =
    time.length > 0 &&
    Object.values(series).every((one) => one.length === time.length && one.every((text) => /^[-\d]/.test(text))) &&
    time.every((text) => isWhole(text) && isTimeNumber(Number(text)));
  if (!isFactory) return undefined;
  const members = Object.entries(series).map(([key, numbers]) => `"${key}":[${numbers.join()}]`);
  return `{"id":${JSON.stringify(object_id)},"factory":{"chart_data":{${members.join()}}}}`;
}

/** Level by level, each with its lists cut and its objects empty: the check copies all that it is given. */
function shapeMistakes(value: unknown, pointer: string): InputError[] {
  const mistakes = mistakesIn(NewFactoryDto, shellOf(value), pointer);
  if (mistakes.length > 0) return mistakes;
  const { factory } = value as { factory: Record<string, unknown> };
  const inner = mistakesIn(ProductionDto, shellOf(factory), `${pointer}/factory`);
  return inner.length > 0
    ? inner
    : mistakesIn(ChartDataDto, shellOf(factory.chart_data), `${pointer}/factory/chart_data`);
}

function shellOf(value: unknown): unknown {
  if (!isObject(value)) return value;
  const shell = (one: unknown): unknown =>
    isObject(one) ? {} : Array.isArray(one) ? one.slice(0, POINTS_MAX + 1) : one;
  return Object.fromEntries(Object.entries(value).map(([name, one]) => [name, shell(one)]));
}

/** Where the member's value begins, of an object that was checked to have it. */
function startOf(text: string, start: number, name: string): number {
  const { value } = findMember(text, start, name);
  if (value === undefined) throw new Error(`a body without ${name} passed the check that requires it`);
  return value.start;
}
