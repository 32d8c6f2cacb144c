import type { Telemetry, Tracing, TraceSpan } from '#telemetry';
import type { Statement } from './queryable.js';
import type { SlowStatements } from './slow-statements.js';
import { nameOf, shortText } from './statement-text.js';

/** A statement that runs. */
export class ObservedStatement {
  private sentAtMs: number | undefined;

  constructor(
    private readonly statement: Statement | string,
    private readonly values: readonly unknown[],
    private readonly span: TraceSpan | null,
    private readonly slow: SlowStatements | null,
  ) {}

  /** To be called when the statement has a connection: the wait for one is not its time. */
  sent(): void {
    this.sentAtMs = performance.now();
  }

  end(error?: unknown): void {
    this.span?.end({}, error);
    if (this.sentAtMs !== undefined) this.slow?.add(this.statement, this.values, performance.now() - this.sentAtMs);
  }
}

/** Traces statements, and finds slow ones. */
export class StatementObserver {
  private constructor(
    private readonly tracing: Tracing | null,
    private readonly slow: SlowStatements | null,
  ) {}

  /** Null where nobody observes: then a statement costs nothing more. */
  static of({ tracing }: Telemetry, slow: SlowStatements | null): StatementObserver | null {
    return tracing === null && slow === null ? null : new StatementObserver(tracing, slow);
  }

  /**
   * To be called where the statement is requested, which belongs to a request or a job.
   * @param parent the span of the request, where it is known
   */
  begin(statement: Statement | string, values: readonly unknown[], parent?: TraceSpan | null): ObservedStatement {
    return new ObservedStatement(statement, values, this.trace(statement, parent), this.slow);
  }

  /** A COPY is traced, and never slow: its time is that of its source. */
  beginCopy(statement: string): ObservedStatement | undefined {
    const span = this.trace(statement);
    return span === null ? undefined : new ObservedStatement(statement, [], span, null);
  }

  private trace(statement: Statement | string, parent?: TraceSpan | null): TraceSpan | null {
    return (
      this.tracing?.startStatement(
        () => nameOf(statement),
        () => ({ 'db.system.name': 'postgresql', 'db.query.text': shortText(statement) }),
        parent,
      ) ?? null
    );
  }
}
