import type { Filter } from './filter.js';

/** The SQL expressions of the columns that a filter refers to, with their table aliases. */
export interface FilterColumns {
  data: string;
  batchId: string;
  subject: string;
  observedAt: string;
}

/**
 * The filter as an SQL condition. Values become parameters: they are appended to `values`. A pair becomes
 * `data @> [{"key": …, "value": …}]`, which uses the GIN index on (project_id, data).
 */
export function filterSql(filter: Filter, columns: FilterColumns, values: unknown[]): string {
  switch (filter.kind) {
    case 'and': {
      // PostgreSQL intersects the pairs of one containment inside the index, and several containments outside of it.
      const pairs = filter.of.filter((part) => part.kind === 'pair');
      const parts = filter.of.filter((part) => part.kind !== 'pair').map((part) => filterSql(part, columns, values));
      if (pairs.length > 0)
        parts.unshift(`${columns.data} @> ${parameter(values, `[${pairs.map(element).join()}]`)}::jsonb`);
      return parts.length === 0 ? 'TRUE' : parts.join(' AND ');
    }
    case 'or':
      return `(${filter.of.map((part) => filterSql(part, columns, values)).join(' OR ')})`;
    case 'pair':
      return `${columns.data} @> ${parameter(values, `[${element(filter)}]`)}::jsonb`;
    case 'batch':
      return `${columns.batchId} = ${parameter(values, filter.batchId)}`;
    case 'subject':
      return `${columns.subject} = ${parameter(values, filter.subject)}`;
    case 'observed': {
      const parts: string[] = [];
      if (filter.from !== null) parts.push(`${columns.observedAt} >= ${parameter(values, filter.from)}::timestamptz`);
      if (filter.until !== null) parts.push(`${columns.observedAt} < ${parameter(values, filter.until)}::timestamptz`);
      return parts.join(' AND ');
    }
  }
}

function parameter(values: unknown[], value: unknown): string {
  values.push(value);
  return `$${String(values.length)}`;
}

function element({ key, value }: Extract<Filter, { kind: 'pair' }>): string {
  const parts = [
    ...(key === null ? [] : [`"key":${JSON.stringify(key)}`]),
    ...(value === null ? [] : [`"value":${value}`]),
  ];
  return `{${parts.join()}}`;
}
