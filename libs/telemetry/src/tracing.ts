import { AsyncLocalStorage } from 'node:async_hooks';
import type * as OpenTelemetry from '@opentelemetry/api';
import type { Attributes, Span, SpanKind, Tracer } from '@opentelemetry/api';
import type { TraceContext } from './trace-context.js';

type Api = typeof OpenTelemetry;

/** A part of a trace: a request, a job, or a statement of one of them. */
export class TraceSpan {
  constructor(
    private readonly api: Api,
    private readonly span: Span,
  ) {}

  /** Whether it is sampled; one that is not is only passed on. */
  get isRecording(): boolean {
    return this.span.isRecording();
  }

  get context(): TraceContext {
    const { traceId, spanId, traceFlags } = this.span.spanContext();
    return { traceId, spanId, isSampled: (traceFlags & this.api.TraceFlags.SAMPLED) !== 0 };
  }

  /** @param error of the server; its message may quote data, so only its name and code are recorded */
  end(attributes: Attributes = {}, error?: unknown): void {
    this.span.setAttributes(attributes);
    if (error !== undefined) {
      const { name = 'Error', code } = error as { name?: string; code?: string | number };
      this.span.setAttribute('error.type', code === undefined ? name : String(code));
      this.span.setStatus({ code: this.api.SpanStatusCode.ERROR });
    }
    this.span.end();
  }
}

/**
 * Traces requests, jobs and the statements of the database. Spans are started at these few places by hand: the places are ours, and the
 * instrumentation of libraries would have to be loaded before everything else (docs/decisions/035-tracing.md).
 */
export class Tracing {
  /** The sampled write or job that the code runs for. */
  private readonly current = new AsyncLocalStorage<TraceSpan>();

  constructor(
    private readonly api: Api,
    private readonly tracer: Tracer,
    /** Sends the spans that have ended. */
    readonly stop: () => Promise<void>,
  ) {}

  /** Starts the span of a request. @param parent the span of the client, if it sent one */
  startRequest(name: string, parent: TraceContext | null, attributes: Attributes): TraceSpan {
    return this.start(name, this.api.SpanKind.SERVER, parent, attributes);
  }

  /** Starts the span of a job. @param parent the span of the request that it was accepted from */
  startJob(name: string, parent: TraceContext | null, attributes: Attributes): TraceSpan {
    return this.start(name, this.api.SpanKind.CONSUMER, parent, attributes);
  }

  /**
   * Starts the span of a statement; null where its parent is not sampled.
   * @param parent default: the write or job that the code runs for
   */
  startStatement(name: () => string, attributes: () => Attributes, parent?: TraceSpan | null): TraceSpan | null {
    const traced = parent ?? this.current.getStore();
    if (traced?.isRecording !== true) return null;
    const options = { kind: this.api.SpanKind.CLIENT, attributes: attributes() };
    const context = this.api.trace.setSpan(this.api.ROOT_CONTEXT, traced['span']);
    return new TraceSpan(this.api, this.tracer.startSpan(name(), options, context));
  }

  /**
   * Runs work, and what it continues with later, as a part of a write or job. Only a sampled one is followed: before Node.js 24 every
   * promise of the process costs more from then on.
   */
  run<T>(span: TraceSpan, work: () => T): T {
    return span.isRecording ? this.current.run(span, work) : work();
  }

  private start(name: string, kind: SpanKind, parent: TraceContext | null, attributes: Attributes): TraceSpan {
    const { ROOT_CONTEXT, trace, TraceFlags } = this.api;
    const context =
      parent === null
        ? ROOT_CONTEXT
        : trace.setSpanContext(ROOT_CONTEXT, {
            traceId: parent.traceId,
            spanId: parent.spanId,
            traceFlags: parent.isSampled ? TraceFlags.SAMPLED : TraceFlags.NONE,
            isRemote: true,
          });
    return new TraceSpan(this.api, this.tracer.startSpan(name, { kind, attributes }, context));
  }
}
