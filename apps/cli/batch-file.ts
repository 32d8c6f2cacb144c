import { Readable } from 'node:stream';
import { DocumentLines, type ObjectLine, type RejectedCount } from './document-lines.js';
import { detectContent, type Content, type FileOptions } from './file-content.js';
import type { LoadSource } from './load-source.js';
import { ObjectLines } from './object-lines.js';
import { decompress, OpenedSource, toSourceError, withoutByteOrderMark, type Encoding } from './opened-source.js';

/** A request body that a source can be sent as. */
export interface RequestBody {
  readonly mediaType: Content['mediaType'];
  /** The compression; undefined for plain text. */
  readonly encoding: Encoding | undefined;
  /** Opens the body from its beginning. Errors of reading are SourceErrors of the stream. */
  open(): Promise<Readable>;
}

/** A source whose content is known. JSON is sent without parsing and writing it again, which would lose digits. */
export class BatchFile {
  /** Nothing was read from `opened`. */
  private isFresh = true;
  private objectLines: ObjectLines | undefined;
  private documentLines: DocumentLines | undefined;

  private constructor(
    private readonly source: LoadSource,
    private readonly signal: AbortSignal,
    private opened: OpenedSource,
    readonly content: Content,
    private readonly options: FileOptions,
  ) {}

  /**
   * Opens a source and detects what it contains.
   * @throws SourceError
   */
  static async open(source: LoadSource, options: FileOptions, signal: AbortSignal): Promise<BatchFile> {
    const opened = await OpenedSource.open(source, signal);
    try {
      const { content, isRead } = await detectContent(source, opened, options);
      const file = new BatchFile(source, signal, opened, content, options);
      file.isFresh = !isRead;
      return file;
    } catch (error) {
      opened.close();
      throw error;
    }
  }

  get name(): string {
    return this.source.name;
  }

  /** The size on disk; undefined when it is unknown. */
  get sizeBytes(): number | undefined {
    return this.source.sizeBytes;
  }

  get isRepeatable(): boolean {
    return this.source.isRepeatable;
  }

  /** Whether it becomes several batches. */
  get isSplit(): boolean {
    return this.options.batchSize !== undefined;
  }

  /** Bytes read in the current attempt. */
  get bytesRead(): number {
    return this.opened.bytesRead;
  }

  /** Objects read in the current attempt; 0 when they cannot be counted: in a compressed file, and in a body of JSON. */
  get objectsRead(): number {
    if (this.objectLines !== undefined) return this.objectLines.objectCount;
    if (this.documentLines !== undefined) return this.documentLines.documentCount;
    const isCountable = this.content.mediaType === 'application/x-ndjson' && this.encoding === undefined;
    return isCountable ? this.opened.linesRead : 0;
  }

  /** The compression; undefined for plain text. */
  get encoding(): Encoding | undefined {
    return this.opened.encoding;
  }

  /** The source as it is, or its documents as objects. */
  get body(): RequestBody {
    const { mediaType, documents } = this.content;
    if (documents === undefined) return { mediaType, encoding: this.encoding, open: () => this.openBytes() };
    return { mediaType, encoding: undefined, open: () => this.openDocuments() };
  }

  /** A batch file as NDJSON, which has no size limit; undefined for other content. */
  get ndjsonBody(): RequestBody | undefined {
    if (this.content.mediaType !== 'application/json' || this.content.feed !== undefined) return undefined;
    return { mediaType: 'application/x-ndjson', encoding: undefined, open: () => this.openObjectLines() };
  }

  /** The documents that were left out of the current attempt since the last call. */
  takeRejected(): RejectedCount {
    return this.documentLines?.takeRejected() ?? { rejectedCount: 0, errors: [], unlistedCount: 0 };
  }

  /** JSON Pointer into the source to the document of a line of the body. */
  pointerTo(line: number): string {
    return this.documentLines?.pointerTo(line) ?? `/lines/${String(line)}`;
  }

  /** Opens the source from its beginning. */
  async openBytes(): Promise<Readable> {
    if (!this.isFresh) {
      this.close();
      this.opened = await OpenedSource.open(this.source, this.signal);
    }
    this.isFresh = false;
    this.objectLines = undefined;
    this.documentLines = undefined;
    return this.opened.bytes;
  }

  /** The decompressed content from the beginning, also while another attempt reads the source. */
  async *contentAgain(): AsyncGenerator<Buffer> {
    const opened = await OpenedSource.open(this.source, this.signal);
    try {
      for await (const chunk of decompress(opened.bytes, opened.encoding)) yield chunk as Buffer;
    } finally {
      opened.close();
    }
  }

  /** The documents as objects, from the beginning. */
  async openLines(): Promise<AsyncGenerator<ObjectLine>> {
    const { content, lines } = await this.beginDocuments();
    return lines.read(content);
  }

  close(): void {
    this.opened.close();
  }

  private async openDocuments(): Promise<Readable> {
    const { content, lines } = await this.beginDocuments();
    return Readable.from(lines.bytes(content), { objectMode: false });
  }

  private async beginDocuments(): Promise<{ content: AsyncIterable<Buffer>; lines: DocumentLines }> {
    const content = withoutByteOrderMark(decompress(await this.openBytes(), this.encoding));
    const { documents = 'documents', batchId } = this.content;
    const lines = new DocumentLines(documents, this.options.documents, batchId, this.options.isPartial);
    this.documentLines = lines;
    return { content, lines };
  }

  private async openObjectLines(): Promise<Readable> {
    const content = decompress(await this.openBytes(), this.encoding);
    this.objectLines = new ObjectLines();
    return Readable.from(convertToLines(content, this.objectLines), { objectMode: false });
  }
}

async function* convertToLines(content: Readable, lines: ObjectLines): AsyncGenerator<Buffer> {
  try {
    for await (const chunk of content) {
      const converted = lines.convert(chunk as Buffer);
      if (converted.length > 0) yield converted;
    }
  } catch (error) {
    throw toSourceError(error);
  }
  lines.end();
}
