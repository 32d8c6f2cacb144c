import { BatchClient, NOTHING_SENT, type BatchResult, type StoreOptions } from './batch-client.js';
import { BatchFile } from './batch-file.js';
import type { FileOptions } from './file-content.js';
import { loadInBatches, withRejected } from './load-batches.js';
import { RejectedDocuments } from './document-lines.js';
import { NotABatchError, SourceError, type LoadSource } from './load-source.js';
import type { ClientSettings } from './client-settings.js';
import type { LoadCounters } from './load-meter.js';
import { loadExport } from './load-export.js';
import { LoadProgress } from './load-progress.js';
import { describeBatch, type LoadResult } from './load-result.js';
import { RejectsFile } from './rejects-file.js';

export interface LoadOptions extends StoreOptions, FileOptions {
  /** Files sent at a time. */
  concurrency: number;
  /** The file for rejected objects and files. */
  rejectsPath: string;
}

/** Signals that end a load early. */
export interface LoadSignals {
  /** Begin no other file. */
  stop: AbortSignal;
  /** Also abort the files that are being sent. */
  abort: AbortSignal;
}

/** Loads sources, several at a time, and reports the result of each. */
export class Loader {
  private readonly client: BatchClient;
  private readonly rejects: RejectsFile;
  private readonly active = new Set<BatchFile>();
  private readonly counters: LoadCounters;
  private readonly progress: LoadProgress;
  private readonly result: LoadResult;
  /** The file of each batch_id. */
  private readonly fileNames = new Map<string, string>();

  constructor(
    private readonly sources: readonly LoadSource[],
    settings: ClientSettings,
    private readonly options: LoadOptions,
    private readonly signals: LoadSignals,
  ) {
    this.client = new BatchClient(settings, options, (line) => {
      this.progress.message(line);
    });
    this.rejects = new RejectsFile(options.rejectsPath);
    this.counters = {
      files: sources.length,
      filesDone: 0,
      bytesTotal: sources.reduce((sum, { sizeBytes }) => sum + (sizeBytes ?? 0), 0),
      filesOfUnknownSize: sources.filter(({ sizeBytes }) => sizeBytes === undefined).length,
      bytesDone: 0,
      unsizedBytesDone: 0,
      objectsDone: 0,
      objectsReadDone: 0,
      active: this.active,
    };
    this.progress = new LoadProgress(this.counters, options.isDryRun ? 'checked' : 'stored');
    const batches = {
      stored: 0,
      unchanged: 0,
      notCompared: 0,
      changed: 0,
      extended: 0,
      unchangedOrChanged: 0,
      rejected: 0,
      skipped: 0,
    };
    const objects = { objectsStored: 0, objectsSkipped: 0, objectsRejected: 0, errorsUnlisted: 0 };
    const unfinished = sources.length;
    this.result = { ...batches, unfinished, ...objects, elapsedMs: 0, rejectsPath: undefined, error: undefined };
  }

  /** Never throws: the result has the error that ended the load, and what was stored before. */
  async run(): Promise<LoadResult> {
    try {
      await this.client.open(this.signals.stop);
      this.progress.start();
      // The workers share one iterator.
      const queue = this.sources.values();
      await Promise.all(Array.from({ length: this.options.concurrency }, () => this.work(queue)));
    } catch (error) {
      this.fail(error);
    }
    this.progress.end();
    this.rejects.close();
    const rejectsPath = this.rejects.isWritten ? this.rejects.path : undefined;
    return { ...this.result, rejectsPath, elapsedMs: this.progress.elapsedMs };
  }

  private async work(queue: Iterable<LoadSource>): Promise<void> {
    for (const source of queue) {
      if (this.signals.stop.aborted || this.result.error !== undefined) return;
      try {
        await this.load(source);
      } catch (error) {
        this.progress.message(`${source.name}: not finished; it is safe to load it again`);
        this.fail(error);
      }
    }
  }

  /** After a signal, errors of aborted requests are not reported. */
  private fail(error: unknown): void {
    if (!this.signals.stop.aborted) this.result.error ??= error instanceof Error ? error : new Error(String(error));
  }

  private async load(source: LoadSource): Promise<void> {
    let file: BatchFile | undefined;
    let result: BatchResult | undefined;
    try {
      file = await this.open(source);
      this.active.add(file);
      if (file.isSplit) await this.loadInBatches(file);
      else {
        result = await this.loadWhole(file);
        await this.report(source.name, result, file);
      }
    } catch (error) {
      if (!(error instanceof SourceError) || this.signals.abort.aborted) throw error;
      if (error instanceof NotABatchError && source.isFound) {
        this.result.skipped++;
        this.progress.file(`${source.name}: skipped, not a batch`);
      } else {
        const own = [{ pointer: error.pointer, detail: error.message }];
        const errors = error instanceof RejectedDocuments ? error.errors : own;
        await this.report(source.name, { ...NOTHING_SENT, kind: 'rejected', errors }, file);
      }
    } finally {
      file?.close();
      if (file !== undefined) this.active.delete(file);
    }
    this.result.unfinished--;
    this.countDone(source, file, result);
  }

  private async loadWhole(file: BatchFile): Promise<BatchResult> {
    const { abort } = this.signals;
    if (file.content.isExport) return loadExport(file, this.client, this.options, abort);
    return withRejected(await this.client.put(file, abort), file.takeRejected());
  }

  private async loadInBatches(file: BatchFile): Promise<void> {
    for await (const { batchId, result } of loadInBatches(file, this.client, this.options, this.signals.abort)) {
      await this.report(`${file.name} (${batchId})`, result, file);
      // The batches that are stored are skipped by the next run.
      this.signals.stop.throwIfAborted();
    }
  }

  private countDone({ sizeBytes }: LoadSource, file: BatchFile | undefined, result: BatchResult | undefined): void {
    this.counters.filesDone++;
    if (sizeBytes === undefined) {
      this.counters.filesOfUnknownSize--;
      this.counters.unsizedBytesDone += file?.bytesRead ?? 0;
    } else this.counters.bytesDone += sizeBytes;
    this.counters.objectsReadDone += Math.max(file?.objectsRead ?? 0, result?.objectCount ?? 0);
  }

  /** A stop signal aborts the opening of a source, but not the sending of one that is open. */
  private async open(source: LoadSource): Promise<BatchFile> {
    const { stop, abort } = this.signals;
    const opening = new AbortController();
    const onStop = (): void => {
      opening.abort();
    };
    stop.addEventListener('abort', onStop);
    try {
      const file = await BatchFile.open(source, this.options, AbortSignal.any([opening.signal, abort]));
      this.rejectDuplicateId(file);
      return file;
    } catch (error) {
      stop.throwIfAborted();
      throw error;
    } finally {
      stop.removeEventListener('abort', onStop);
    }
  }

  /** The server rejects a second file of a batch, unless it was asked to replace or extend batches, or is not sent those that it has. */
  private rejectDuplicateId({ name, content: { batchId, feed, isExport } }: BatchFile): void {
    if (feed !== undefined || isExport) return;
    const other = this.fileNames.get(batchId) ?? name;
    this.fileNames.set(batchId, other);
    if (other === name || (this.options.onConflict === undefined && this.options.batchSize === undefined)) return;
    throw new SourceError(`"${batchId}" is also the batch of ${other}; load it alone, with --batch-id`, '/batch_id');
  }

  private async report(name: string, result: BatchResult, file: BatchFile | undefined): Promise<void> {
    const { kind, objectCount, errors, unlistedCount, skippedCount, rejectedCount } = result;
    for (const { pointer, detail } of errors) this.progress.message(`${name}: ${pointer}${pointer && ': '}${detail}`);
    if (unlistedCount > 0) {
      this.progress.message(`${name}: and ${String(unlistedCount)} more errors, which the server does not list`);
    }
    this.result.errorsUnlisted += unlistedCount;
    if (errors.length > 0) await this.rejects.add(name, result, file);
    this.result[kind]++;
    if (kind === 'rejected') return;
    this.counters.objectsDone += objectCount;
    this.result.objectsSkipped += skippedCount;
    this.result.objectsRejected += rejectedCount;
    if (kind === 'stored' || kind === 'extended') this.result.objectsStored += objectCount;
    this.progress.file(`${name}: ${describeBatch(result, this.options)}`);
  }
}
