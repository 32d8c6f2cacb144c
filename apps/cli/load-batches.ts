import { NOTHING_SENT, type BatchClient, type BatchResult } from './batch-client.js';
import type { BatchFile } from './batch-file.js';
import type { RejectedCount } from './document-lines.js';
import type { LoadOptions } from './loader.js';

/** Bytes of a batch that are in memory at a time, also where it has fewer objects than were asked for. */
const BATCH_BYTES_MAX = 64 * 1024 ** 2;

/** A batch of a file that becomes several. */
interface Batch {
  id: string;
  /** From 1. */
  number: number;
  /** From 1: a batch that is too large becomes several parts. */
  part: number;
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
 * rejected. Where the first batch is stored already, those that exist with as many objects, and with the first and the last one, are
 * not sent, so that an interrupted load continues where it ended.
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
    if (isStored && (await looksStored(batch, client, signal))) {
      yield { batchId: batch.id, result: { ...NOTHING_SENT, kind: 'notCompared', objectCount: batch.lines.length } };
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
  const nothing = { ...NOTHING_SENT, kind: 'rejected' } as const;
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

/** Whether a batch exists with as many objects. In a file with other documents before it, its ends are not those of the batch. */
async function looksStored({ id, lines }: Batch, client: BatchClient, signal: AbortSignal): Promise<boolean> {
  if ((await client.countOf(id, signal)) !== lines.length) return false;
  for (const line of new Set([lines[0], lines.at(-1)])) {
    const { object_id: objectId } = JSON.parse(line?.toString() ?? '{}') as { object_id?: string };
    if (objectId !== undefined && (await client.batchOf(objectId, signal)) !== id) return false;
  }
  return true;
}

/** Document number `n` is in the batch `n / size`, whichever others are left out. */
async function* batchesOf(file: BatchFile, size: number): AsyncGenerator<Batch> {
  const begin = (number: number, part: number): Batch => {
    const suffix = part === 1 ? '' : `-${String(part)}`;
    const id = `${file.content.batchId}-${String(number).padStart(6, '0')}${suffix}`;
    return { id, number, part, lines: [], places: [] };
  };
  let batch = begin(1, 1);
  let bytes = 0;
  for await (const { place, line, index } of await file.openLines()) {
    const number = Math.floor(index / size) + 1;
    if (number !== batch.number) {
      if (batch.lines.length > 0) yield batch;
      batch = begin(number, 1);
      bytes = 0;
    }
    const text = Buffer.from(`${line}\n`);
    batch.lines.push(text);
    batch.places.push(place);
    bytes += text.length;
    const isLast = (index + 1) % size === 0;
    if (!isLast && bytes < BATCH_BYTES_MAX) continue;
    yield batch;
    batch = isLast ? begin(number + 1, 1) : begin(number, batch.part + 1);
    bytes = 0;
  }
  if (batch.lines.length > 0) yield batch;
}
