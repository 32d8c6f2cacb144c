import { createHash } from 'node:crypto';
import { NOTHING_SENT, type BatchClient, type BatchResult, type StoreOptions } from './batch-client.js';
import type { BatchFile } from './batch-file.js';
import { SourceError } from './load-source.js';
import { decompress } from './opened-source.js';

const LINE_FEED = 10;
/** Lines that are in memory at a time, to be sent by batch. */
const PART_LINES = 20_000;
const PART_BYTES = 16 * 1024 ** 2;
/** The members that begin a line of an export. */
const LINE_START = /^\{"object_id":"(?:[^"\\]|\\.)*","batch_id":("(?:[^"\\]|\\.)*")/;
const LAST_LINE_START = '{"export":';

interface BatchLines {
  lines: Buffer[];
  /** The number in the file of each line. */
  numbers: number[];
}

/**
 * Stores the objects of an export in their batches, in the order of the file; objects that exist stay as they are. At the end it checks
 * that the export is whole.
 * @throws SourceError for a file that is not an export
 */
export async function loadExport(
  file: BatchFile,
  client: BatchClient,
  { onConflict }: StoreOptions,
  signal: AbortSignal,
): Promise<BatchResult> {
  if (onConflict === 'replace') throw new SourceError('is an export, which cannot be used with --on-conflict replace');
  const load = new ExportLoad(client, signal);
  let rest: Buffer[] = [];
  for await (const piece of decompress(await file.openBytes(), file.encoding)) {
    const chunk = piece as Buffer;
    let start = 0;
    for (let end; (end = chunk.indexOf(LINE_FEED, start)) !== -1; start = end + 1) {
      const line = Buffer.concat([...rest, chunk.subarray(start, end + 1)]);
      rest = [];
      if (load.add(line)) await load.send();
    }
    if (start < chunk.length) rest.push(chunk.subarray(start));
  }
  if (rest.length > 0) load.add(Buffer.concat([...rest, Buffer.from('\n')]));
  await load.send();
  return load.end();
}

class ExportLoad {
  private readonly hash = createHash('sha256');
  private batches = new Map<string, BatchLines>();
  private lineCount = 0;
  private objectCount = 0;
  private partLines = 0;
  private partBytes = 0;
  private last: { count?: unknown; sha256?: unknown } | undefined;
  private isNew = false;
  private isChanged = false;
  /** The objects of the file that were sent to each batch without an error. */
  private readonly sentCounts = new Map<string, number>();
  private readonly errors: BatchResult['errors'][number][] = [];
  private storedCount = 0;
  private rejectedCount = 0;
  private unlistedCount = 0;

  constructor(
    private readonly client: BatchClient,
    private readonly signal: AbortSignal,
  ) {}

  /** @returns whether the lines should be sent now */
  add(line: Buffer): boolean {
    const number = ++this.lineCount;
    const text = line.toString();
    if (text.trim() === '') return false;
    const pointer = `/lines/${String(number)}`;
    if (this.last !== undefined) throw new SourceError('must not follow the last line of an export', pointer);
    if (text.startsWith(LAST_LINE_START)) {
      this.last = parseLast(text);
      return false;
    }
    this.hash.update(line);
    const batchId = LINE_START.exec(text)?.[1];
    if (batchId === undefined) throw new SourceError('is not a line of an export', pointer);
    const batch = this.batches.get(batchId) ?? { lines: [], numbers: [] };
    batch.lines.push(line);
    batch.numbers.push(number);
    this.batches.set(batchId, batch);
    this.objectCount++;
    this.partBytes += line.length;
    return ++this.partLines >= PART_LINES || this.partBytes >= PART_BYTES;
  }

  async send(): Promise<void> {
    for (const [batchId, { lines, numbers }] of this.batches) {
      const part = await this.client.putLines(JSON.parse(batchId) as string, lines, 'skip', this.signal);
      this.isNew ||= part.kind === 'stored';
      this.isChanged ||= part.kind !== 'stored' && part.kind !== 'unchanged';
      const isRejected = part.kind === 'rejected';
      const rejectedCount = isRejected ? lines.length : part.rejectedCount;
      this.rejectedCount += rejectedCount;
      this.storedCount += lines.length - rejectedCount;
      if (part.batchCount !== undefined) this.checkCount(batchId, lines.length, part.batchCount);
      this.unlistedCount += part.unlistedCount;
      // Of the file, not of the request.
      for (const { pointer, detail } of part.errors) {
        const own = pointer.replace(/^\/lines\/(\d+)/, (_, line) => `/lines/${String(numbers[Number(line) - 1])}`);
        this.errors.push({ pointer: own, detail });
      }
    }
    this.batches = new Map();
    this.partLines = 0;
    this.partBytes = 0;
  }

  /** The server skips an object whose id another batch has, without an error: then the batch has fewer objects than were sent. */
  private checkCount(batchId: string, sentCount: number, batchCount: number): void {
    const count = (this.sentCounts.get(batchId) ?? 0) + sentCount;
    const missing = Math.max(0, count - batchCount);
    // Those that are missing are reported once.
    this.sentCounts.set(batchId, count - missing);
    if (missing === 0) return;
    this.storedCount -= missing;
    this.rejectedCount += missing;
    const objects = `${missing.toLocaleString('en')} object${missing === 1 ? '' : 's'}`;
    this.errors.push({
      pointer: '',
      detail: `${objects} of the batch ${batchId} not stored: other batches have their ids`,
    });
  }

  end(): BatchResult {
    const { errors, rejectedCount, unlistedCount, storedCount } = this;
    const fault = this.findFault();
    if (fault !== undefined) {
      const sent = `${this.objectCount.toLocaleString('en')} objects of it were sent`;
      errors.push({ pointer: '', detail: `${fault}; ${sent}` });
    }
    const kind = fault === undefined ? this.kind : 'rejected';
    return { ...NOTHING_SENT, kind, objectCount: storedCount, rejectedCount, errors, unlistedCount };
  }

  private findFault(): string | undefined {
    const { last, objectCount } = this;
    if (last === undefined) return 'is not whole: the last line is missing';
    if (last.count !== objectCount) return `is not whole: the last line states ${String(last.count)} objects`;
    return last.sha256 === this.hash.digest('hex')
      ? undefined
      : 'was changed: its SHA-256 is not that of the last line';
  }

  private get kind(): BatchResult['kind'] {
    if (this.rejectedCount > 0 && this.storedCount === 0) return 'rejected';
    if (this.isNew) return 'stored';
    return this.isChanged ? 'unchangedOrChanged' : 'unchanged';
  }
}

function parseLast(text: string): { count?: unknown; sha256?: unknown } {
  try {
    return (JSON.parse(text) as { export: { count?: unknown; sha256?: unknown } }).export;
  } catch {
    throw new SourceError('is not whole: the last line is cut off');
  }
}
