import { Readable } from 'node:stream';
import { JsonHead, type FeedName } from './json-head.js';
import { NotABatchError, reasonOf, SourceError, type LoadSource } from './load-source.js';
import { ObjectLines } from './object-lines.js';
import { decompress, OpenedSource, type Encoding } from './opened-source.js';

const NDJSON_NAME = /\.(?:ndjson|jsonl)(?:\.\w+)?$/i;
const JSON_NAME = /\.json(?:\.zstd?)?$/i;
/** File name extensions, which are not part of the batch_id. */
const EXTENSIONS = /(?:\.(?:ndjson|jsonl|json))?(?:\.(?:gz|zst|zstd))?$/i;
/** Node.js has no zstd before 22.15, so the content of a zstd file cannot be detected. */
const ZSTD_ERROR = 'a zstd file must contain NDJSON and be named .ndjson.zst or .jsonl.zst';
/** The first line of an export: an object that names its batch, or the last line of an export without objects. */
const EXPORT_START = /^\{"object_id":"(?:[^"\\]|\\.)*","batch_id":|^\{"export":/;
/** The first characters of JSON values that are not objects. */
const OTHER_JSON = '["-0123456789tfn';

/** What a source contains. */
interface Content {
  readonly batchId: string;
  readonly mediaType: 'application/json' | 'application/x-ndjson';
  /** The feed that the file is for, which keeps it in a batch of that name; undefined for a batch. */
  readonly feed: FeedName | undefined;
}

const EXPORT_CONTENT: Content = { batchId: '', mediaType: 'application/x-ndjson', feed: undefined };

/** A request body that a source can be sent as. */
export interface RequestBody {
  readonly mediaType: Content['mediaType'];
  /** The compression; undefined for plain text. */
  readonly encoding: Encoding | undefined;
  /** Opens the body from its beginning. Errors of reading are SourceErrors of the stream. */
  open(): Promise<Readable>;
}

/** A source whose content is known. It is sent without parsing and writing its JSON again, which would lose digits. */
export class BatchFile {
  /** Nothing was read from `opened`. */
  private isFresh = true;
  private objectLines: ObjectLines | undefined;

  private constructor(
    private readonly source: LoadSource,
    private readonly signal: AbortSignal,
    private opened: OpenedSource,
    readonly content: Content,
    /** Objects of several batches, as `stowage export` writes them. */
    readonly isExport: boolean,
  ) {}

  /**
   * Opens a source and detects what it contains, reading no more than that takes.
   * @param givenId the batch_id that the user gave
   * @throws SourceError
   */
  static async open(source: LoadSource, givenId: string | undefined, signal: AbortSignal): Promise<BatchFile> {
    const opened = await OpenedSource.open(source, signal);
    try {
      // Sent as NDJSON, a batch file would give an error for each of its lines.
      if (opened.encoding === 'zstd' && JSON_NAME.test(source.fileName)) throw new SourceError(ZSTD_ERROR);
      const isNdjson = !source.isRepeatable || NDJSON_NAME.test(source.fileName) || opened.encoding === 'zstd';
      const head = isNdjson ? undefined : await readHead(opened);
      const isExport = isNdjson && source.isRepeatable && EXPORT_START.test(opened.start);
      if (isExport && givenId !== undefined) {
        throw new SourceError('contains batches with ids of their own, and cannot be used with --batch-id');
      }
      // The name of the file of an export is no batch_id.
      const content = isExport ? EXPORT_CONTENT : await detectContent(head, givenId, source.fileName);
      const file = new BatchFile(source, signal, opened, content, isExport);
      file.isFresh = head === undefined;
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

  /** Bytes read in the current attempt. */
  get bytesRead(): number {
    return this.opened.bytesRead;
  }

  /** Objects read in the current attempt; 0 when they cannot be counted: in a compressed file, and in a body of JSON. */
  get objectsRead(): number {
    if (this.objectLines !== undefined) return this.objectLines.objectCount;
    const isCountable = this.content.mediaType === 'application/x-ndjson' && this.encoding === undefined;
    return isCountable ? this.opened.linesRead : 0;
  }

  /** The compression; undefined for plain text. */
  get encoding(): Encoding | undefined {
    return this.opened.encoding;
  }

  /** The source as it is. */
  get body(): RequestBody {
    return { mediaType: this.content.mediaType, encoding: this.encoding, open: () => this.openBytes() };
  }

  /** A batch file as NDJSON, which has no size limit; undefined for other content. */
  get ndjsonBody(): RequestBody | undefined {
    if (this.content.mediaType !== 'application/json' || this.content.feed !== undefined) return undefined;
    return { mediaType: 'application/x-ndjson', encoding: undefined, open: () => this.openObjectLines() };
  }

  /** Opens the source from its beginning. */
  async openBytes(): Promise<Readable> {
    if (!this.isFresh) {
      this.close();
      this.opened = await OpenedSource.open(this.source, this.signal);
    }
    this.isFresh = false;
    this.objectLines = undefined;
    return this.opened.bytes;
  }

  close(): void {
    this.opened.close();
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

async function readHead({ bytes, encoding }: OpenedSource): Promise<JsonHead> {
  const head = new JsonHead();
  try {
    for await (const chunk of decompress(bytes, encoding)) if (head.take(chunk as Buffer)) break;
  } catch (error) {
    throw toSourceError(error);
  }
  return head;
}

/** An error that is not a SourceError is one of gunzip. */
function toSourceError(error: unknown): SourceError {
  return error instanceof SourceError ? error : new SourceError(`is not a valid gzip file: ${reasonOf(error)}`);
}

/** @param head undefined for NDJSON @throws SourceError */
async function detectContent(
  head: JsonHead | undefined,
  givenId: string | undefined,
  fileName: string,
): Promise<Content> {
  if (head?.feed !== undefined) {
    if (givenId !== undefined) throw new SourceError(`contains ${head.feed}, which cannot be used with --batch-id`);
    return { batchId: head.feed, mediaType: 'application/json', feed: head.feed };
  }
  const isBatch = head !== undefined && isBatchHead(head);
  const defaultId = isBatch ? head.batchId : fileName.replace(EXTENSIONS, '');
  const batchId = await validateId(givenId ?? defaultId, !isBatch || head.names.has('batch_id'));
  if (isBatch && head.batchId !== undefined && head.batchId !== batchId) {
    throw new SourceError(
      `is "${head.batchId}", but --batch-id is "${batchId}"; a batch file keeps its id`,
      '/batch_id',
    );
  }
  return { batchId, mediaType: isBatch ? 'application/json' : 'application/x-ndjson', feed: undefined };
}

/** Returns true for a batch file and false for NDJSON. @throws SourceError for anything else */
function isBatchHead({ names, first, batchId, isComplete, hasLineBreak }: JsonHead): boolean {
  const start = String.fromCharCode(first);
  if (first === 0) throw new SourceError('is empty');
  if (start !== '{' && !OTHER_JSON.includes(start)) throw new SourceError(`is not JSON: it begins with ${start}`);
  if (start === '{' && !isComplete && batchId === undefined) {
    throw new SourceError('is not valid JSON: unexpected end of file');
  }
  if (names.has('batch_id') || names.has('objects')) return true;
  if (names.has('object_id') && !hasLineBreak) return false;
  throw new NotABatchError('is not a batch: {"batch_id": …, "objects": […]}');
}

/** @param isPresent whether a missing id is an invalid one @throws SourceError */
async function validateId(batchId: string | undefined, isPresent: boolean): Promise<string> {
  const { ID_RULE, isId } = await import('#platform');
  if (batchId !== undefined && batchId.isWellFormed() && isId(batchId)) return batchId;
  throw new SourceError(isPresent ? ID_RULE : 'is missing', '/batch_id');
}
