import type { Metrics } from '#telemetry';
import { hash } from 'node:crypto';
import type { Logger } from 'pino';
import { LRUCache } from 'lru-cache';
import type { Queryable, Statement } from './queryable.js';
import { planLines } from './plan-lines.js';
import { nameOf, shortText } from './statement-text.js';

/** A statement is logged once in this time; all are counted. */
const LOG_EVERY_MS = 60_000;
/** Statements whose time of logging is known; a further one replaces the one that was logged first. */
const LOGGED_MAX = 200;
/** At most one plan is made in this time. */
const EXPLAIN_EVERY_MS = 5_000;
/** A statement with longer values gets no plan: they would be sent again. */
const VALUES_LENGTH_MAX = 100_000;
const EXPLAINABLE = /^\s*(?:SELECT|INSERT|UPDATE|DELETE|WITH)\b/i;

interface SlowStatementOptions {
  /** The time from which a statement is slow. */
  slowMs: number;
  log: Logger;
  metrics: Metrics | null;
  /** Runs a statement on a connection that no request waits for. */
  aside: <T>(work: (on: Queryable) => Promise<T>) => Promise<T>;
}

/**
 * Logs slow statements, each with its plan. The plan is made afterwards, by EXPLAIN without ANALYZE, so the statement does not run again. Only
 * its nodes, their tables and indexes, and the estimated rows and costs are logged: its conditions contain the values of the client.
 */
export class SlowStatements {
  private readonly loggedAtMs = new LRUCache<string, number>({ max: LOGGED_MAX });
  private explainedAtMs = -Infinity;
  private isExplaining = false;

  constructor(private readonly options: SlowStatementOptions) {}

  /** Logs a statement that has ended, if it was slow. */
  add(statement: Statement | string, values: readonly unknown[], ms: number): void {
    if (ms < this.options.slowMs) return;
    this.options.metrics?.slowStatements.inc();
    const text = shortText(statement);
    const digest = hash('sha1', text, 'base64url');
    const now = performance.now();
    if (now - (this.loggedAtMs.get(digest) ?? -Infinity) < LOG_EVERY_MS) return;
    this.loggedAtMs.set(digest, now);
    void this.log(statement, values, { statement: nameOf(statement), ms: Math.round(ms), text });
  }

  private async log(statement: Statement | string, values: readonly unknown[], fields: object): Promise<void> {
    const plan = await this.planOf(statement, values).catch(() => undefined);
    this.options.log.warn({ ...fields, plan }, 'a slow statement');
  }

  /** Undefined where none is made. @throws Error where the database rejects it */
  private async planOf(statement: Statement | string, values: readonly unknown[]): Promise<string[] | undefined> {
    const text = typeof statement === 'string' ? statement : statement.text;
    const now = performance.now();
    if (!EXPLAINABLE.test(text) || now - this.explainedAtMs < EXPLAIN_EVERY_MS) return undefined;
    // It may wait for a lock, each time on a connection of its own.
    if (this.isExplaining) return undefined;
    if (lengthOf(values) > VALUES_LENGTH_MAX) return undefined;
    this.explainedAtMs = now;
    this.isExplaining = true;
    try {
      const rows = await this.options.aside((on) =>
        // Not as a simple query, in which a second statement would be executed.
        on.query<{ 'QUERY PLAN': unknown }>({ text: `EXPLAIN (FORMAT JSON) ${text}`, queryMode: 'extended' }, values),
      );
      return planLines(rows[0]?.['QUERY PLAN']);
    } finally {
      this.isExplaining = false;
    }
  }
}

function lengthOf(values: readonly unknown[]): number {
  return values.reduce<number>((sum, value) => {
    if (typeof value === 'string' || value instanceof Uint8Array) return sum + value.length;
    return sum + (Array.isArray(value) ? lengthOf(value) : 8);
  }, 0);
}
