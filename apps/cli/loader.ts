import { BatchClient, type LoadOutcome, type StoreOptions } from './batch-client.js';
import { BatchFile } from './batch-file.js';
import { NotABatchError, SourceError, type LoadSource } from './load-source.js';
import type { ClientSettings } from './client-settings.js';
import { LoadProgress, type LoadTally } from './load-progress.js';
import { lineOf, type LoadResult } from './load-result.js';
import { Rejects } from './rejects.js';

/** How a load goes about it. */
export interface LoadOptions extends StoreOptions {
  /** How many files are sent at a time. */
  concurrency: number;
  /** The id of the one batch that is loaded; undefined takes each file's own, or its name. */
  batchId: string | undefined;
  /** The file for what is rejected. */
  rejectsPath: string;
}

/** How a load is ended early. */
export interface LoadSignals {
  /** Take no further file. */
  stop: AbortSignal;
  /** Wait no longer for those under way either. */
  cut: AbortSignal;
}

/** Loads files, some at a time, and reports each as it is done. */
export class Loader {
  private readonly client: BatchClient;
  private readonly rejects: Rejects;
  private readonly underWay = new Set<BatchFile>();
  private readonly tally: LoadTally;
  private readonly progress: LoadProgress;
  private readonly result: LoadResult;
  /** Which file each batch came from. */
  private readonly names = new Map<string, string>();

  constructor(
    private readonly sources: readonly LoadSource[],
    settings: ClientSettings,
    private readonly options: LoadOptions,
    private readonly signals: LoadSignals,
  ) {
    this.client = new BatchClient(settings, options, (line) => {
      this.progress.say(line);
    });
    this.rejects = new Rejects(options.rejectsPath);
    const bytes = sources.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
    const { underWay } = this;
    this.tally = { files: sources.length, filesDone: 0, bytes, bytesDone: 0, objectsDone: 0, underWay };
    this.progress = new LoadProgress(this.tally);
    const batches = { stored: 0, already: 0, changed: 0, kept: 0, rejected: 0, skipped: 0, unfinished: sources.length };
    const objects = { objectsStored: 0, objectsRejected: 0 };
    this.result = { ...batches, ...objects, elapsedMs: 0, rejectsPath: undefined, error: undefined };
  }

  /** Never throws: what ended the load early is in the result, beside what was stored until then. */
  async run(): Promise<LoadResult> {
    try {
      await this.client.open(this.signals.stop);
      this.progress.start();
      // One queue for all workers.
      const queue = this.sources.values();
      await Promise.all(Array.from({ length: this.options.concurrency }, () => this.work(queue)));
    } catch (error) {
      this.end(error);
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
        this.progress.say(`${source.name}: not finished; loading it again does no harm`);
        this.end(error);
      }
    }
  }

  /** What a signal broke off is no error of its own. */
  private end(error: unknown): void {
    if (!this.signals.stop.aborted) this.result.error ??= error instanceof Error ? error : new Error(String(error));
  }

  private async load(source: LoadSource): Promise<void> {
    let file: BatchFile | undefined;
    try {
      file = await this.open(source);
      this.underWay.add(file);
      const outcome = await this.client.put(file, this.signals.cut);
      await this.report(source.name, outcome, file);
    } catch (error) {
      if (!(error instanceof SourceError) || this.signals.cut.aborted) throw error;
      if (error instanceof NotABatchError && source.isFound) {
        this.result.skipped++;
        this.progress.file(`${source.name}: skipped, it is not a batch`);
      } else {
        const mistakes = [{ pointer: error.pointer, detail: error.message }];
        const nothing = { kind: 'rejected', objects: 0, oldObjects: 0, rejectedObjects: 0, unlisted: 0 } as const;
        await this.report(source.name, { ...nothing, mistakes }, file);
      }
    } finally {
      file?.close();
      if (file !== undefined) this.underWay.delete(file);
    }
    this.result.unfinished--;
    this.tally.bytesDone += source.sizeBytes;
    this.tally.filesDone++;
  }

  /** What has not begun when a signal comes is not begun; what has is given the time to finish. */
  private async open(source: LoadSource): Promise<BatchFile> {
    const { stop, cut } = this.signals;
    const opening = new AbortController();
    const onStop = (): void => {
      opening.abort();
    };
    stop.addEventListener('abort', onStop);
    try {
      const file = await BatchFile.open(source, this.options.batchId, AbortSignal.any([opening.signal, cut]));
      this.refuseSameName(file);
      return file;
    } catch (error) {
      stop.throwIfAborted();
      throw error;
    } finally {
      stop.removeEventListener('abort', onStop);
    }
  }

  /** The server tells two files of one batch apart, but not when it is asked to replace the one by the other. */
  private refuseSameName({ name, content: { batchId, feed } }: BatchFile): void {
    if (feed !== undefined) return;
    const other = this.names.get(batchId) ?? name;
    this.names.set(batchId, other);
    if (other === name || this.options.onConflict === undefined) return;
    throw new SourceError(`"${batchId}" is also the batch of ${other}; load it alone, with --batch-id`, '/batch_id');
  }

  private async report(name: string, outcome: LoadOutcome, file: BatchFile | undefined): Promise<void> {
    const { kind, objects, mistakes, unlisted, rejectedObjects } = outcome;
    for (const { pointer, detail } of mistakes) this.progress.say(`${name}: ${pointer}${pointer && ': '}${detail}`);
    if (unlisted > 0) this.progress.say(`${name}: and ${String(unlisted)} more, which the server does not list`);
    if (mistakes.length > 0) await this.rejects.add(name, outcome, file);
    this.result[kind]++;
    if (kind === 'rejected') return;
    this.tally.objectsDone += objects;
    this.result.objectsRejected += rejectedObjects;
    if (kind === 'stored') this.result.objectsStored += objects;
    this.progress.file(`${name}: ${lineOf(outcome, this.options)}`);
  }
}
