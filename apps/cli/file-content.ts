import type { DocumentFormat, DocumentOptions } from './document-lines.js';
import { JsonHead, type FeedName } from './json-head.js';
import { NotABatchError, SourceError, type LoadSource } from './load-source.js';
import { decompress, toSourceError, type OpenedSource } from './opened-source.js';

const NDJSON_NAME = /\.(?:ndjson|jsonl)(?:\.\w+)?$/i;
const CSV_NAME = /\.(?:csv|tsv)(?:\.\w+)?$/i;
const TSV_NAME = /\.tsv(?:\.\w+)?$/i;
const JSON_NAME = /\.(?:geo)?json(?:\.zstd?)?$/i;
/** File name extensions, which are not part of the batch_id. */
const EXTENSIONS = /(?:\.(?:ndjson|jsonl|json|geojson|csv|tsv|dat|txt))?(?:\.(?:gz|zst|zstd))?$/i;
/** Node.js has no zstd before 22.15, so the content of a zstd file cannot be detected. */
const ZSTD_ERROR = 'a zstd file must contain NDJSON and be named .ndjson.zst or .jsonl.zst';
/** The first line of an export: an object that names its batch, or the last line of an export without objects. */
const EXPORT_START = /^\{"object_id":"(?:[^"\\]|\\.)*","batch_id":|^\{"export":/;
/** mongoexport writes the id first. */
const MONGO_START = /^\s*\{\s*"_id"\s*:/;
const MONGO_LIST_START = /^\s*\[\s*\{\s*"_id"\s*:/;
/** The first characters of JSON values that are not objects. */
const OTHER_JSON = '["-0123456789tfn';
const HOW_TO_LOAD_DOCUMENTS =
  'to load JSON documents, name the member that is their id, such as --id name, or use --format documents';
const HOW_TO_LOAD_CSV = 'to load CSV, use --format csv';

/** What a source contains. */
export interface Content {
  readonly batchId: string;
  readonly mediaType: 'application/json' | 'application/x-ndjson';
  /** The feed that the file is for, which keeps it in a batch of that name; undefined for a batch. */
  readonly feed: FeedName | undefined;
  /** Objects of several batches, as `stowage export` writes them. */
  readonly isExport: boolean;
  /** How the documents are written that become objects; undefined where the file is sent as it is. */
  readonly documents: DocumentFormat | undefined;
}

/** What the user said about the files. */
export interface FileOptions {
  /** The batch_id of a single source. */
  batchId: string | undefined;
  documents: DocumentOptions;
  /** The number of objects of each batch, for files that become several batches; undefined for one batch. */
  batchSize: number | undefined;
  /** Whether invalid documents are left out. */
  isPartial: boolean;
}

const WITHOUT_DOCUMENTS = { feed: undefined, isExport: false, documents: undefined } as const;

/**
 * Detects what a source contains, reading no more than that takes.
 * @returns isRead: whether bytes of `opened` were read
 * @throws SourceError
 */
export async function detectContent(
  source: LoadSource,
  opened: OpenedSource,
  options: FileOptions,
): Promise<{ content: Content; isRead: boolean }> {
  const { fileName } = source;
  if (options.documents.format === 'csv' || CSV_NAME.test(fileName)) {
    rejectZstd(opened);
    const format = TSV_NAME.test(fileName) ? 'tsv' : 'csv';
    return { content: await documentContent(format, source, options), isRead: false };
  }
  // Sent as NDJSON, a batch file would give an error for each of its lines.
  if (opened.encoding === 'zstd' && JSON_NAME.test(fileName)) throw new SourceError(ZSTD_ERROR);
  if (!source.isRepeatable || NDJSON_NAME.test(fileName) || opened.encoding === 'zstd') {
    return { content: await detectLines(source, opened, options), isRead: false };
  }
  return { content: await detectJson(source, opened, options), isRead: true };
}

async function detectLines(source: LoadSource, opened: OpenedSource, options: FileOptions): Promise<Content> {
  if (source.isRepeatable && EXPORT_START.test(opened.start)) {
    rejectOptions('contains batches with ids of their own', documentFlags(options));
    if (options.batchId !== undefined) {
      throw new SourceError('contains batches with ids of their own, and cannot be used with --batch-id');
    }
    // The name of the file of an export is no batch_id.
    return { ...WITHOUT_DOCUMENTS, batchId: '', mediaType: 'application/x-ndjson', isExport: true };
  }
  const isMongo = MONGO_START.test(opened.start);
  if (isMongo || isMapped(options.documents)) {
    rejectZstd(opened);
    return documentContent(isMongo ? 'mongoexport' : 'documents', source, options);
  }
  if (isDocument(opened.start))
    throw new SourceError(`has no objects with "data"; ${HOW_TO_LOAD_DOCUMENTS}`, '/lines/1');
  return objectContent(source, opened, options);
}

async function detectJson(source: LoadSource, opened: OpenedSource, options: FileOptions): Promise<Content> {
  const head = await readHead(opened);
  const { names, first, batchId, feed, isComplete, hasLineBreak } = head;
  const start = String.fromCharCode(first);
  if (first === 0) throw new SourceError('is empty');
  if (start !== '{' && !OTHER_JSON.includes(start)) {
    throw new SourceError(`is not JSON: it begins with ${start}; ${HOW_TO_LOAD_CSV}`);
  }
  if (feed !== undefined) {
    rejectOptions(`contains ${feed}`, { '--batch-id': options.batchId !== undefined, ...documentFlags(options) });
    return { ...WITHOUT_DOCUMENTS, batchId: feed, mediaType: 'application/json', feed };
  }
  if (names.has('features')) return documentContent('features', source, options);
  if (MONGO_LIST_START.test(opened.start)) return documentContent('mongoexport-list', source, options);
  if (start === '[' && !(source.isFound && !isMapped(options.documents))) {
    return documentContent('list', source, options);
  }
  if (start === '{' && !isComplete && batchId === undefined) {
    throw new SourceError('is not valid JSON: unexpected end of file');
  }
  if (names.has('batch_id') || names.has('objects')) return batchContent(head, options);
  if (names.has('_id')) return documentContent('mongoexport', source, options);
  if (isMapped(options.documents)) return documentContent('documents', source, options);
  if (names.has('object_id') && !hasLineBreak) return objectContent(source, undefined, options);
  const howToLoad = '{['.includes(start) ? HOW_TO_LOAD_DOCUMENTS : HOW_TO_LOAD_CSV;
  throw new NotABatchError(`is not a batch: {"batch_id": …, "objects": […]}; ${howToLoad}`);
}

async function batchContent({ batchId: ownId, names }: JsonHead, options: FileOptions): Promise<Content> {
  rejectOptions('is a batch file', documentFlags(options));
  const batchId = await validateId(options.batchId ?? ownId, names.has('batch_id'));
  if (ownId !== undefined && ownId !== batchId) {
    throw new SourceError(`is "${ownId}", but --batch-id is "${batchId}"; a batch file keeps its id`, '/batch_id');
  }
  return { ...WITHOUT_DOCUMENTS, batchId, mediaType: 'application/json' };
}

/** Objects of Stowage as lines, which are sent as they are unless they become several batches. */
async function objectContent(
  source: LoadSource,
  opened: OpenedSource | undefined,
  options: FileOptions,
): Promise<Content> {
  if (options.batchSize !== undefined) {
    if (opened !== undefined) rejectZstd(opened);
    return documentContent('objects', source, options);
  }
  return { ...WITHOUT_DOCUMENTS, batchId: await idOf(source, options), mediaType: 'application/x-ndjson' };
}

async function documentContent(documents: DocumentFormat, source: LoadSource, options: FileOptions): Promise<Content> {
  const batchId = await idOf(source, options);
  return { batchId, mediaType: 'application/x-ndjson', feed: undefined, isExport: false, documents };
}

function idOf({ fileName }: LoadSource, { batchId }: FileOptions): Promise<string> {
  return validateId(batchId ?? fileName.replace(EXTENSIONS, ''), true);
}

/** Whether an option says that the files have documents, which are not objects of Stowage. */
function isMapped({ format, id, subject, observedAt, isFlat }: DocumentOptions): boolean {
  return format === 'documents' || isFlat || [id, subject, observedAt].some((path) => path !== undefined);
}

/** The options that only documents support, and whether they are given. */
function documentFlags({ documents, batchSize }: FileOptions): Record<string, boolean> {
  const { id, subject, observedAt, isFlat } = documents;
  return {
    '--id': id !== undefined,
    '--subject': subject !== undefined,
    '--observed-at': observedAt !== undefined,
    '--flatten': isFlat,
    '--batch-size': batchSize !== undefined,
  };
}

/** @throws SourceError where one of the options is given */
function rejectOptions(content: string, flags: Readonly<Record<string, boolean>>): void {
  const given = Object.entries(flags).flatMap(([flag, isGiven]) => (isGiven ? [flag] : []));
  if (given.length > 0) throw new SourceError(`${content}, which cannot be used with ${given.join(', ')}`);
}

function rejectZstd({ encoding }: OpenedSource): void {
  if (encoding === 'zstd')
    throw new SourceError('is compressed with zstd, which must contain objects of Stowage; decompress it');
}

/** Whether the first line is a JSON object that no one would take for an object of Stowage. */
function isDocument(start: string): boolean {
  const [line = ''] = start.split('\n', 1);
  try {
    const value = JSON.parse(line) as unknown;
    return typeof value === 'object' && value !== null && !('data' in value) && !('object_id' in value);
  } catch {
    return false;
  }
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

/** @param isPresent whether a missing id is an invalid one @throws SourceError */
async function validateId(batchId: string | undefined, isPresent: boolean): Promise<string> {
  const { ID_RULE, isId } = await import('#platform');
  if (batchId !== undefined && batchId.isWellFormed() && isId(batchId)) return batchId;
  throw new SourceError(isPresent ? ID_RULE : 'is missing', '/batch_id');
}
