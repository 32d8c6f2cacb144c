import { elementsOf, isWhole, memberText } from '#json';
import { ValidationErrors, validateDto } from '#http';
import { dataOf } from '#store';
import { type Kind, type Made, type Sent } from '#feeds';
import type { ObjectRow } from '#store';
import { ChartDataDto, isTimeNumber, NewFactoryDto, NUMBER_RULE, ProductionDto, TIME_RULE } from './factory.dto.js';

const KEYS = ['sprocket_production_actual', 'sprocket_production_goal', 'time'] as const;

/**
 * A pair as PostgreSQL and we write it, its value up to what no number has. A page may hold millions of them, which as
 * `pairsOf` reads them take 2 µs each.
 */
const PAIR = new RegExp(`\\{"key": ?"(${KEYS.join('|')})", ?"value": ?([^"}]*)`, 'g');

export const FACTORIES: Kind = {
  name: 'factories',
  one: 'factory',
  param: 'factory_id',
  key: 'time',
  toObject,
  fromObject,
};

function toObject({ value, text, start, pointer: parent }: Sent): Made<string> {
  const shape = shapeMistakes(value, parent);
  if (shape.count > 0) return { mistakes: shape };
  const pointer = `${parent}/factory/chart_data`;
  const chart = memberText(memberText(text, start, 'factory'), 0, 'chart_data');
  const series = KEYS.map((key) => {
    const list = memberText(chart, 0, key);
    return Array.from(elementsOf(list, 0), (one) => list.slice(one.start, one.end));
  });
  const [actual = [], , times = []] = series;
  const mistakes = new ValidationErrors();
  const detail = `must have ${String(actual.length)} points, as sprocket_production_actual has`;
  for (const [place, key] of KEYS.entries())
    if (series[place]?.length !== actual.length) mistakes.add({ pointer: `${pointer}/${key}`, detail });
  // A double took 1.00000000000000000001 for a whole number.
  for (const [place, one] of times.entries())
    if (!isWhole(one)) mistakes.add({ pointer: `${pointer}/time/${String(place)}`, detail: TIME_RULE });
  if (mistakes.count > 0) return { mistakes };
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
function shapeMistakes(value: unknown, pointer: string): ValidationErrors {
  const mistakes = validateDto(NewFactoryDto, value, pointer);
  if (mistakes.count > 0) return mistakes;
  const { factory } = value as NewFactoryDto;
  const inner = validateDto(ProductionDto, factory, `${pointer}/factory`);
  if (inner.count > 0) return inner;
  const chart = `${pointer}/factory/chart_data`;
  const ofChart = validateDto(ChartDataDto, factory.chart_data, chart);
  return ofChart.count > 0 ? ofChart : pointMistakes(factory.chart_data, chart);
}

function pointMistakes(chart: ChartDataDto, pointer: string): ValidationErrors {
  const mistakes = new ValidationErrors();
  for (const key of KEYS) {
    const [isPoint, detail] = key === 'time' ? [isTimeNumber, TIME_RULE] : [isNumber, NUMBER_RULE];
    for (const [place, one] of chart[key].entries())
      if (!isPoint(one)) mistakes.add({ pointer: `${pointer}/${key}/${String(place)}`, detail });
  }
  return mistakes;
}

function isNumber(value: unknown): boolean {
  return typeof value === 'number';
}
