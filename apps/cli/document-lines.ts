import { csvDocuments } from './csv-documents.js';
import { DocumentError, featureDocument, jsonDocument, mongoDocument, type Document } from './document.js';
import { JsonValues, type JsonValueText, type ValueLayout } from './json-values.js';
import { SourceError } from './load-source.js';
import { ObjectMapping, type MappingOptions } from './object-mapping.js';
import type { LoadError, LoadErrors } from './problem-response.js';

/** How the documents of a file are written; `objects` are objects of Stowage, one after the other. */
export type DocumentFormat =
  'csv' | 'tsv' | 'list' | 'features' | 'documents' | 'mongoexport' | 'mongoexport-list' | 'objects';

export interface DocumentOptions extends MappingOptions {
  /** What the files contain whose names and contents do not show it. */
  format: 'csv' | 'documents' | undefined;
  delimiter: string | undefined;
  isTyped: boolean;
  /** Lines of CSV that are neither the header nor rows. */
  skippedLines: ReadonlySet<number>;
}

const ERRORS_MAX = 100;
const LAYOUTS: Readonly<Record<Exclude<DocumentFormat, 'csv' | 'tsv'>, ValueLayout>> = {
  list: 'list',
  features: 'features',
  documents: 'values',
  mongoexport: 'values',
  'mongoexport-list': 'list',
  objects: 'values',
};

export interface ObjectLine {
  place: number;
  /** The number of documents before this one, also of those that were left out. */
  index: number;
  /** Without a line feed. */
  line: string;
}

/** Documents that were left out, and the first of their errors. */
export interface RejectedCount extends LoadErrors {
  rejectedCount: number;
}

/** A file that was not sent because of its documents. */
export class RejectedDocuments extends SourceError {
  constructor(readonly errors: readonly LoadError[]) {
    super(errors[0]?.detail ?? '', errors[0]?.pointer);
  }
}

/** Reads documents as lines of NDJSON, one object each, in constant memory. */
export class DocumentLines {
  /** Documents read so far. */
  documentCount = 0;
  private errors: LoadError[] = [];
  private rejectedCount = 0;
  private readonly mapping: ObjectMapping;

  /**
   * @param isPartial leaves invalid documents out; otherwise nothing follows the first one
   * @throws UsageError for invalid options
   */
  constructor(
    private readonly format: DocumentFormat,
    private readonly options: DocumentOptions,
    batchId: string,
    private readonly isPartial: boolean,
  ) {
    this.mapping = new ObjectMapping(options, batchId);
  }

  /** @throws RejectedDocuments, SourceError */
  async *read(content: AsyncIterable<Buffer>): AsyncGenerator<ObjectLine> {
    for await (const entry of this.entries(content)) {
      this.documentCount++;
      const index = this.documentCount - 1;
      const line = this.toLine(entry, index);
      if (line instanceof DocumentError) {
        this.reject(line);
        if (!this.isPartial && this.errors.length === ERRORS_MAX) break;
      } else if (this.isPartial || this.rejectedCount === 0) yield { ...line, index };
    }
    if (!this.isPartial && this.rejectedCount > 0) throw new RejectedDocuments(this.errors);
  }

  /** The same as a stream in which each line has the number of its place; documents that share a line get one each. */
  async *bytes(content: AsyncIterable<Buffer>): AsyncGenerator<string> {
    let next = 1;
    for await (const { place, line } of this.read(content)) {
      yield `${'\n'.repeat(Math.max(0, place - next))}${line}\n`;
      next = Math.max(place, next) + 1;
    }
  }

  /** JSON Pointer to the document at a place. */
  pointerTo(place: number): string {
    if (this.format === 'list' || this.format === 'mongoexport-list') return `/${String(place - 1)}`;
    return this.format === 'features' ? `/features/${String(place - 1)}` : `/lines/${String(place)}`;
  }

  /** The documents that were left out since the last call. */
  takeRejected(): RejectedCount {
    const { errors, rejectedCount } = this;
    this.errors = [];
    this.rejectedCount = 0;
    return { rejectedCount, errors, unlistedCount: rejectedCount - errors.length };
  }

  private reject({ place, pointer, detail }: DocumentError): void {
    this.rejectedCount++;
    if (this.errors.length < ERRORS_MAX) this.errors.push({ pointer: this.pointerTo(place) + pointer, detail });
  }

  private async *entries(content: AsyncIterable<Buffer>): AsyncGenerator<Entry> {
    const { format } = this;
    if (format === 'csv' || format === 'tsv') {
      yield* this.rows(content);
      return;
    }
    const values = new JsonValues(LAYOUTS[format]);
    for await (const chunk of content) for (const value of values.take(chunk)) yield entryOf(value, format);
    for (const value of values.finish()) yield entryOf(value, format);
  }

  private rows(content: AsyncIterable<Buffer>): AsyncGenerator<Entry> {
    const { id, subject, observedAt } = this.options;
    const all = { '--id': id, '--subject': subject, '--observed-at': observedAt };
    const named = new Map(
      Object.entries(all).flatMap(([option, name]) => (name === undefined ? [] : [[option, name]])),
    );
    const delimiter = this.options.delimiter ?? (this.format === 'tsv' ? '\t' : undefined);
    return csvDocuments(content, { ...this.options, delimiter, named });
  }

  private toLine(entry: Entry, index: number): PlacedLine | DocumentError {
    if (entry instanceof DocumentError || 'line' in entry) return entry;
    return withError(() => ({ place: entry.place, line: this.mapping.lineOf(entry, index) }));
  }
}

/** A document, an object of Stowage, or what is wrong with one. */
type Entry = Document | PlacedLine | DocumentError;

type PlacedLine = Omit<ObjectLine, 'index'>;

function entryOf({ place, text }: JsonValueText, format: keyof typeof LAYOUTS): Entry {
  // Line breaks of JSON are between its tokens, where a space is the same.
  if (format === 'objects') return { place, line: text.replace(/[\r\n]/g, ' ') };
  const parse =
    format === 'features' ? featureDocument : format.startsWith('mongoexport') ? mongoDocument : jsonDocument;
  return withError(() => parse(place, text));
}

/** The result, or the DocumentError that it throws. */
function withError<T>(work: () => T): T | DocumentError {
  try {
    return work();
  } catch (error) {
    if (error instanceof DocumentError) return error;
    throw error;
  }
}
