import { elementsOf, isWhole, memberText } from '#json';
import { mistakesIn, type InputError } from '#platform';
import { dataOf, type Kind, type Made, type ObjectRow, type Sent } from '#warehouse';
import { ChartDataDto, isTimeNumber, NewFactoryDto, ProductionDto, TIMES_RULE } from './factory.dto.js';

const KEYS = ['sprocket_production_actual', 'sprocket_production_goal', 'time'] as const;

/**
 * A pair as PostgreSQL and we write it, its value up to what no number has. A page may hold millions of them, which as
 * `pairsOf` reads them take 2 µs each.
 */
const PAIR = new RegExp(`\\{"key": ?"(${KEYS.join('|')})", ?"value": ?([^"}]*)`, 'g');

export const FACTORIES: Kind = { name: 'factories', one: 'factory', key: 'time', toObject, fromObject };

function toObject({ value, text, start, pointer: parent }: Sent): Made<string> {
  const shape = shapeMistakes(value, parent);
  if (shape.length > 0) return { mistakes: shape };
  const pointer = `${parent}/factory/chart_data`;
  const chart = memberText(memberText(text, start, 'factory'), 0, 'chart_data');
  const series = KEYS.map((key) => {
    const list = memberText(chart, 0, key);
    return Array.from(elementsOf(list, 0), (one) => list.slice(one.start, one.end));
  });
  const [actual = [], , times = []] = series;
  const mistakes = KEYS.filter((_, place) => series[place]?.length !== actual.length).map((key) => ({
    pointer: `${pointer}/${key}`,
    detail: `must have ${String(actual.length)} points, as sprocket_production_actual has`,
  }));
  // A double took 1.00000000000000000001 for a whole number.
  if (!times.every(isWhole)) mistakes.push({ pointer: `${pointer}/time`, detail: TIMES_RULE });
  if (mistakes.length > 0) return { mistakes };
  const pairs = times.flatMap((_, point) => KEYS.map((key, place) => [key, series[place]?.[point] ?? ''] as const));
  return { made: dataOf(pairs) };
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

/** Level by level: what is in a part that is none would be only more of the same mistake. */
function shapeMistakes(value: unknown, pointer: string): readonly InputError[] {
  const mistakes = mistakesIn(NewFactoryDto, value, pointer);
  if (mistakes.length > 0) return mistakes;
  const { factory } = value as NewFactoryDto;
  const inner = mistakesIn(ProductionDto, factory, `${pointer}/factory`);
  return inner.length > 0 ? inner : mistakesIn(ChartDataDto, factory.chart_data, `${pointer}/factory/chart_data`);
}
