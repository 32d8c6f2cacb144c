import type { Queryable } from './queryable.js';

/** A step that found or counted the rows of a page, with its details. */
export interface PageStep {
  step: string;
  [detail: string]: string | number | boolean | readonly string[];
}

/** A statement of a page: how many rows it returned, and how long it took. */
export interface TracedStatement {
  sql: string;
  rows: number;
  ms: number;
}

/** The longest text of a statement in a trace, and the most steps and statements. */
const SQL_LENGTH_MAX = 4_000;
const ENTRIES_MAX = 100;

/** Records how a page is read. */
export class PageTrace {
  readonly steps: PageStep[] = [];
  readonly statements: TracedStatement[] = [];
  private readonly startMs = performance.now();

  /** The first steps are kept. */
  add(step: string, details: Omit<PageStep, 'step'> = {}): void {
    if (this.steps.length < ENTRIES_MAX) this.steps.push({ step, ...details });
  }

  /** Runs queries like `on`, and records the first of them. */
  recorded(on: Queryable): Queryable {
    return {
      query: async <Row extends object>(...[statement, values]: Parameters<Queryable['query']>): Promise<Row[]> => {
        const startMs = performance.now();
        const rows = await on.query<Row>(statement, values);
        if (this.statements.length >= ENTRIES_MAX) return rows;
        const text = typeof statement === 'string' ? statement : statement.text;
        const sql = text.replace(/\s+/g, ' ').trim().slice(0, SQL_LENGTH_MAX);
        this.statements.push({ sql, rows: rows.length, ms: roundedMs(performance.now() - startMs) });
        return rows;
      },
    };
  }

  /** Milliseconds since the start. */
  get ms(): number {
    return roundedMs(performance.now() - this.startMs);
  }
}

function roundedMs(ms: number): number {
  return Math.round(ms * 100) / 100;
}
