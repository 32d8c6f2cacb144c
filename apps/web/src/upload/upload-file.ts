import { parseJsonObjects } from './json-objects.js';
import { FileError, firstRows, type Row } from './rows.js';

/** More than the largest object that the server stores, so that the first line of NDJSON is whole. */
const HEAD_BYTES = 2 * 1024 * 1024;
/** JSON is read as a whole, and browsers hold about 500 MB of text. */
const JSON_BYTES_MAX = 200_000_000;
const PREVIEW_ROWS = 8;

/** A file to upload. */
export interface UploadFile {
  name: string;
  sizeBytes: number;
  kind: 'JSON' | 'NDJSON' | 'CSV';
  /** What is sent: the file, or the objects of JSON as NDJSON, because the server limits the size of JSON. */
  body: Blob;
  /** The id of the batch in the file, or its name. */
  batchId: string;
  /** The first rows of the body, with the header of CSV. */
  preview: readonly Row[];
}

/** @throws FileError */
export async function openFile(file: File): Promise<UploadFile> {
  if (file.size === 0) throw new FileError('The file is empty.');
  const kind = await kindOf(file);
  const { body, batchId } = kind === 'JSON' ? await readJson(file) : { body: file, batchId: null };
  const preview = await firstRows(body, kind === 'CSV', PREVIEW_ROWS);
  if (kind === 'CSV' && preview.length === 0) throw new FileError('The file has only empty lines.');
  return {
    name: file.name,
    sizeBytes: file.size,
    kind,
    body,
    batchId: batchId ?? file.name.replace(/\.\w+$/, ''),
    preview,
  };
}

/** The kind of a file, by its name or its start. */
async function kindOf(file: File): Promise<UploadFile['kind']> {
  if (/\.(ndjson|jsonl)$/i.test(file.name)) return 'NDJSON';
  if (/\.(csv|tsv)$/i.test(file.name)) return 'CSV';
  const head = (await file.slice(0, HEAD_BYTES).text()).trimStart();
  if (!/^[[{]/.test(head)) return 'CSV';
  return isNdjson(head) ? 'NDJSON' : 'JSON';
}

/** Whether the first line is a whole object, and not a batch. */
function isNdjson(head: string): boolean {
  const [line = ''] = head.split('\n', 1);
  try {
    const value: unknown = JSON.parse(line);
    return typeof value === 'object' && value !== null && !Array.isArray(value) && !('objects' in value);
  } catch {
    return false;
  }
}

/** @throws FileError */
async function readJson(file: File): Promise<{ body: Blob; batchId: string | null }> {
  if (file.size > JSON_BYTES_MAX) {
    throw new FileError('A JSON file of more than 200 MB cannot be read here. Save it as NDJSON: one object per line.');
  }
  let found;
  try {
    found = parseJsonObjects(await file.text());
  } catch (error) {
    throw new FileError(`The file is not JSON: ${error instanceof Error ? error.message : String(error)}.`, {
      cause: error,
    });
  }
  if (found === null) {
    throw new FileError(
      'The file has neither a list of objects nor a batch such as {"batch_id": "shoes", "objects": []}.',
    );
  }
  const lines = found.objects.map((object) => `${object}\n`);
  return { body: new Blob(lines), batchId: found.batchId };
}
