import type { Readable } from 'node:stream';
import { JsonHead, type FeedName } from './json-head.js';
import { NotABatchError, reasonOf, SourceError, type LoadSource } from './load-source.js';
import { inflated, OpenedSource, type Encoding } from './opened-source.js';

const NDJSON_NAME = /\.(?:ndjson|jsonl)(?:\.\w+)?$/i;
const JSON_NAME = /\.json(?:\.zstd?)?$/i;
/** What a name ends in that says what is in the file, and is no part of the batch's id. */
const ENDINGS = /(?:\.(?:ndjson|jsonl|json))?(?:\.(?:gz|zst|zstd))?$/i;
/** Its beginning cannot be looked at here: Node.js has no zstd before 22.15. */
const ZSTD_RULE = 'zstd files are taken as lines: name them .ndjson.zst or .jsonl.zst';
/** What starts a JSON value that is no object. */
const OTHER_JSON = '["-0123456789tfn';

/** Which batch a source holds, and as what it is sent. */
interface Content {
  readonly batchId: string;
  readonly mediaType: 'application/json' | 'application/x-ndjson';
  /** The feed that takes the file whole, and keeps it in a batch of that name; undefined for a batch. */
  readonly feed: FeedName | undefined;
}

/** A source whose batch is known. It is sent as it is: what is parsed and written again loses digits. */
export class BatchFile {
  /** Nothing was read of what is open. */
  private isFresh = true;

  private constructor(
    private readonly source: LoadSource,
    private readonly signal: AbortSignal,
    private opened: OpenedSource,
    readonly content: Content,
  ) {}

  /**
   * Finds out which batch this is, and reads no more than that takes.
   * @param givenId the batch_id that the user gave
   * @throws SourceError
   */
  static async open(source: LoadSource, givenId: string | undefined, signal: AbortSignal): Promise<BatchFile> {
    const opened = await OpenedSource.open(source, signal);
    try {
      // Read as lines, a batch would be told as a mistake in each of its lines.
      if (opened.encoding === 'zstd' && JSON_NAME.test(source.fileName)) throw new SourceError(ZSTD_RULE);
      const isNdjson = !source.isRepeatable || NDJSON_NAME.test(source.fileName) || opened.encoding === 'zstd';
      const head = isNdjson ? undefined : await headOf(opened);
      const file = new BatchFile(source, signal, opened, await contentOf(head, givenId, source.fileName));
      // What was looked through is not there to be sent any more.
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

  /** 0 where only reading tells. */
  get sizeBytes(): number {
    return this.source.sizeBytes;
  }

  get isRepeatable(): boolean {
    return this.source.isRepeatable;
  }

  /** How far it was read, this time. */
  get bytesRead(): number {
    return this.opened.bytesRead;
  }

  /** How its bytes are compressed; undefined for plain text. */
  get encoding(): Encoding | undefined {
    return this.opened.encoding;
  }

  /** Its bytes from the first one on. Who reads them meets a SourceError where they cannot be read. */
  async bytes(): Promise<Readable> {
    if (!this.isFresh) {
      this.close();
      this.opened = await OpenedSource.open(this.source, this.signal);
    }
    this.isFresh = false;
    return this.opened.bytes;
  }

  close(): void {
    this.opened.close();
  }
}

async function headOf({ bytes, encoding }: OpenedSource): Promise<JsonHead> {
  const head = new JsonHead();
  try {
    for await (const chunk of inflated(bytes, encoding)) if (head.take(chunk as Buffer)) break;
  } catch (error) {
    if (error instanceof SourceError) throw error;
    throw new SourceError(`is not whole gzip: ${reasonOf(error)}`);
  }
  return head;
}

/** @param head undefined for a source that is taken as lines @throws SourceError */
async function contentOf(head: JsonHead | undefined, givenId: string | undefined, fileName: string): Promise<Content> {
  if (head?.feed !== undefined) {
    if (givenId !== undefined) throw new SourceError(`holds ${head.feed}, which take no --batch-id`);
    return { batchId: head.feed, mediaType: 'application/json', feed: head.feed };
  }
  const isBatch = head !== undefined && isBatchHead(head);
  const found = isBatch ? head.batchId : fileName.replace(ENDINGS, '');
  const batchId = await checkedId(givenId ?? found, !isBatch || head.names.has('batch_id'));
  return { batchId, mediaType: isBatch ? 'application/json' : 'application/x-ndjson', feed: undefined };
}

/** Whether it is one batch, or one object a line. @throws SourceError when it is neither */
function isBatchHead({ names, first, batchId, isWhole, hasLineBreak }: JsonHead): boolean {
  const start = String.fromCharCode(first);
  if (first === 0) throw new SourceError('is empty');
  if (start !== '{' && !OTHER_JSON.includes(start)) throw new SourceError(`is not JSON: it begins with ${start}`);
  if (start === '{' && !isWhole && batchId === undefined) throw new SourceError('is not JSON: it ends too early');
  if (names.has('batch_id') || names.has('objects')) return true;
  if (names.has('object_id') && !hasLineBreak) return false;
  throw new NotABatchError('is not a batch: {"batch_id": …, "objects": […]}');
}

async function checkedId(batchId: string | undefined, isGiven: boolean): Promise<string> {
  const { ID_RULE, isId } = await import('#platform');
  if (batchId !== undefined && batchId.isWellFormed() && isId(batchId)) return batchId;
  throw new SourceError(isGiven ? ID_RULE : 'is missing', '/batch_id');
}
