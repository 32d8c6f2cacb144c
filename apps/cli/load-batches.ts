import type { BatchClient, BatchResult } from './batch-client.js';
import type { BatchFile } from './batch-file.js';
import type { RejectedCount } from './document-lines.js';
import type { LoadOptions } from './loader.js';

/** Bytes of a batch that are in memory at a time, also where it has fewer objects than were asked for. */
const BATCH_BYTES_MAX = 64 * 1024 ** 2;

/** A batch of a file that becomes several. */
interface Batch {
  id: string;
  lines: Buffer[];
  /** The place in the file of each line. */
  places: number[];
}

export interface NamedResult {
  batchId: string;
  result: BatchResult;
}

/**
 * Stores the objects of a file in batches of a fixed size, named `<batch_id>-000001` and so on. It ends at the first batch that is
 * rejected. Where the first batch is stored already, those that exist with as many objects are not sent, so that an interrupted load
 * continues where it ended.
 * @throws SourceError
 */
export async function* loadInBatches(
  file: BatchFile,
  client: BatchClient,
  { batchSize, onConflict }: LoadOptions,
  signal: AbortSignal,
): AsyncGenerator<NamedResult> {
  let isStored = false;
  for await (const batch of batchesOf(file, batchSize ?? Infinity)) {
    const count = isStored ? await client.countOf(batch.id, signal) : undefined;
    if (count === batch.lines.length) {
      yield { batchId: batch.id, result: notCompared(count) };
      continue;
    }
    const result = await client.putLines(batch.id, batch.lines, onConflict, signal);
    const errors = result.errors.map(({ pointer, detail }) => ({
      pointer: pointer.replace(/^\/lines\/(\d+)/, (_, line) => file.pointerTo(batch.places[Number(line) - 1] ?? 0)),
      detail,
    }));
    yield { batchId: batch.id, result: withRejected({ ...result, errors }, file.takeRejected()) };
    if (result.kind === 'rejected') return;
    isStored = onConflict === undefined && result.kind === 'unchanged';
  }
  const rest = file.takeRejected();
  const nothing = {
    kind: 'rejected',
    objectCount: 0,
    existingCount: 0,
    rejectedCount: 0,
    errors: [],
    unlistedCount: 0,
  } as const;
  if (rest.rejectedCount > 0) yield { batchId: file.content.batchId, result: withRejected(nothing, rest) };
}

/** The result with the documents that were not sent. */
export function withRejected(
  result: BatchResult,
  { rejectedCount, errors, unlistedCount }: RejectedCount,
): BatchResult {
  return {
    ...result,
    rejectedCount: result.rejectedCount + rejectedCount,
    errors: [...errors, ...result.errors],
    unlistedCount: result.unlistedCount + unlistedCount,
  };
}

function notCompared(objectCount: number): BatchResult {
  return { kind: 'notCompared', objectCount, existingCount: 0, rejectedCount: 0, errors: [], unlistedCount: 0 };
}

async function* batchesOf(file: BatchFile, size: number): AsyncGenerator<Batch> {
  let number = 0;
  let bytes = 0;
  const begin = (): Batch => ({
    id: `${file.content.batchId}-${String(++number).padStart(6, '0')}`,
    lines: [],
    places: [],
  });
  let batch = begin();
  for await (const { place, line } of await file.openLines()) {
    const text = Buffer.from(`${line}\n`);
    batch.lines.push(text);
    batch.places.push(place);
    bytes += text.length;
    if (batch.lines.length < size && bytes < BATCH_BYTES_MAX) continue;
    yield batch;
    batch = begin();
    bytes = 0;
  }
  if (batch.lines.length > 0) yield batch;
}
