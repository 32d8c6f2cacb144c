import { elementsOf, isWhole, memberText } from '#json';
import { ValidationErrors, validateDto } from '#http';
import { dataOf, type ObjectRow } from '#store';
import { type TypedCollection, type Parsed, type InputItem } from '#feeds';
import { ChartDataDto, isTimeNumber, NewFactoryDto, NUMBER_RULE, ProductionDto, TIME_RULE } from './factory.dto.js';

export const FACTORY_KEYS = ['sprocket_production_actual', 'sprocket_production_goal', 'time'] as const;

/**
 * A pair with a number, as PostgreSQL and `dataOf` write it. A page may hold millions of pairs, and `pairsOf` takes 2 µs for
 * each.
 */
const PAIR = new RegExp(`\\{"key": ?"(${FACTORY_KEYS.join('|')})", ?"value": ?([^"}]*)`, 'g');

export const FACTORIES: TypedCollection = {
  name: 'factories',
  singular: 'factory',
  idParam: 'factory_id',
  key: 'time',
  toObject,
  fromObject,
};

function toObject({ value, text, start, pointer: parent }: InputItem): Parsed<string> {
  const shape = shapeErrors(value, parent);
  if (shape.count > 0) return { errors: shape };
  const pointer = `${parent}/factory/chart_data`;
  const chart = memberText(memberText(text, start, 'factory'), 0, 'chart_data');
  const series = FACTORY_KEYS.map((key) => {
    const list = memberText(chart, 0, key);
    return Array.from(elementsOf(list, 0), (one) => list.slice(one.start, one.end));
  });
  const [actual = [], , times = []] = series;
  const errors = new ValidationErrors();
  const detail = `must have ${String(actual.length)} points, as sprocket_production_actual has`;
  for (const [index, key] of FACTORY_KEYS.entries())
    if (series[index]?.length !== actual.length) errors.add({ pointer: `${pointer}/${key}`, detail });
  // On the text: as a double, 1.00000000000000000001 is a whole number.
  for (const [index, one] of times.entries())
    if (!isWhole(one)) errors.add({ pointer: `${pointer}/time/${String(index)}`, detail: TIME_RULE });
  if (errors.count > 0) return { errors };
  const pairs = times.flatMap((_, point) =>
    FACTORY_KEYS.map((key, index) => [key, series[index]?.[point] ?? ''] as const),
  );
  return { value: dataOf(pairs) };
}

function fromObject({ object_id, data }: Pick<ObjectRow, 'object_id' | 'data'>): string | undefined {
  const series: Record<string, string[]> = Object.fromEntries(FACTORY_KEYS.map((key) => [key, []]));
  for (const [, key = '', number = ''] of data.matchAll(PAIR)) series[key]?.push(number);
  const { time = [] } = series;
  const isFactory =
    time.length > 0 &&
    Object.values(series).every(
      (one) => one.length === time.length && one.every((text) => /^[-\d]/.test(text) && Number.isFinite(Number(text))),
    ) &&
    time.every((text) => isWhole(text) && isTimeNumber(Number(text)));
  if (!isFactory) return undefined;
  const members = Object.entries(series).map(([key, numbers]) => `"${key}":[${numbers.join()}]`);
  return `{"id":${JSON.stringify(object_id)},"factory":{"chart_data":{${members.join()}}}}`;
}

/** Validates level by level: the members of an invalid level are not validated. */
function shapeErrors(value: unknown, pointer: string): ValidationErrors {
  const errors = validateDto(NewFactoryDto, value, pointer);
  if (errors.count > 0) return errors;
  const { factory } = value as NewFactoryDto;
  const inner = validateDto(ProductionDto, factory, `${pointer}/factory`);
  if (inner.count > 0) return inner;
  const chart = `${pointer}/factory/chart_data`;
  const ofChart = validateDto(ChartDataDto, factory.chart_data, chart);
  return ofChart.count > 0 ? ofChart : pointErrors(factory.chart_data, chart);
}

function pointErrors(chart: ChartDataDto, pointer: string): ValidationErrors {
  const errors = new ValidationErrors();
  for (const key of FACTORY_KEYS) {
    const [isPoint, detail] = key === 'time' ? [isTimeNumber, TIME_RULE] : [isNumber, NUMBER_RULE];
    for (const [index, one] of chart[key].entries())
      if (!isPoint(one)) errors.add({ pointer: `${pointer}/${key}/${String(index)}`, detail });
  }
  return errors;
}

function isNumber(value: unknown): boolean {
  return Number.isFinite(value);
}
