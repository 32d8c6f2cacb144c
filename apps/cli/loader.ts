import { BatchClient, type Outcome } from './batch-client.js';
import { openBatchFile } from './batch-file.js';
import { NotABatchError, SourceError, type BatchSource } from './batch-source.js';
import type { ClientSettings } from './client-settings.js';
import { LoadProgress, rateOf, type LoadTally } from './load-progress.js';

/** One is checked by the server while the other is being stored; more only wait for the same disk. */
const FILES_AT_ONCE = 2;

/** What became of a load; in files, but for `objectsStored`. */
export interface LoadResult {
  stored: number;
  objectsStored: number;
  already: number;
  rejected: number;
  /** JSON of a folder that is not a batch. */
  skipped: number;
  /** Not sent, or sent without an answer: a signal or a lost server came before. */
  unfinished: number;
  elapsedMs: number;
  /** What ended the load before all files were done. */
  error: Error | undefined;
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
  private readonly tally: LoadTally;
  private readonly progress: LoadProgress;
  private readonly result: LoadResult;

  constructor(
    private readonly sources: readonly BatchSource[],
    settings: ClientSettings,
    private readonly signals: LoadSignals,
  ) {
    this.client = new BatchClient(settings, (line) => {
      this.progress.say(line);
    });
    const bytes = sources.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
    this.tally = { files: sources.length, filesDone: 0, bytes, bytesDone: 0, objectsDone: 0 };
    this.progress = new LoadProgress(this.tally);
    const counts = { stored: 0, objectsStored: 0, already: 0, rejected: 0, skipped: 0, unfinished: sources.length };
    this.result = { ...counts, elapsedMs: 0, error: undefined };
  }

  /** Never throws: what ended the load early is in the result, beside what was stored until then. */
  async run(): Promise<LoadResult> {
    try {
      await this.client.open(this.signals.stop);
      this.progress.start();
      // One queue for all workers.
      const queue = this.sources.values();
      await Promise.all(Array.from({ length: FILES_AT_ONCE }, () => this.work(queue)));
    } catch (error) {
      this.end(error);
    }
    this.progress.end();
    return { ...this.result, elapsedMs: this.progress.elapsedMs };
  }

  private async work(queue: Iterable<BatchSource>): Promise<void> {
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

  private async load(source: BatchSource): Promise<void> {
    let objectCount = 0;
    let outcome: Outcome | { kind: 'skipped' };
    let sizeBytes = source.sizeBytes;
    try {
      const content = await source.read(this.signals.stop);
      // Of a URL the size was not known.
      this.tally.bytes += content.length - sizeBytes;
      sizeBytes = content.length;
      const file = openBatchFile(content);
      ({ objectCount } = file);
      outcome = await this.client.post(file, this.signals.cut);
    } catch (error) {
      if (!(error instanceof SourceError)) throw error;
      const isForeign = error instanceof NotABatchError && source.isFromFolder;
      outcome = isForeign ? { kind: 'skipped' } : { kind: 'rejected', mistakes: [error.message] };
    }
    this.tally.bytesDone += sizeBytes;
    this.tally.filesDone++;
    this.count(source.name, outcome, objectCount);
  }

  private count(name: string, outcome: Outcome | { kind: 'skipped' }, objectCount: number): void {
    const objects = counted(objectCount, 'object', 's');
    this.result[outcome.kind]++;
    this.result.unfinished--;
    if (outcome.kind === 'rejected') {
      for (const mistake of outcome.mistakes) this.progress.say(`${name}: ${mistake}`);
      return;
    }
    if (outcome.kind === 'skipped') {
      this.progress.file(`${name}: skipped, it is not a batch`);
      return;
    }
    this.tally.objectsDone += objectCount;
    if (outcome.kind === 'already') {
      this.progress.file(`${name}: already stored (${objects})`);
    } else {
      this.result.objectsStored += objectCount;
      this.progress.file(`${name}: stored ${objects}`);
    }
  }
}

/** One line for a whole load. */
export function summaryOf(result: LoadResult): string {
  const { stored, objectsStored, already, rejected, skipped, unfinished, elapsedMs } = result;
  const seconds = (elapsedMs / 1000).toFixed(1);
  const rate = `${seconds} s, ${rateOf(objectsStored, elapsedMs)} objects/s`;
  const parts = [`stored ${counted(objectsStored, 'object', 's')} in ${counted(stored, 'batch', 'es')} (${rate})`];
  if (already > 0) parts.push(`${counted(already, 'batch', 'es')} already stored`);
  if (rejected > 0) parts.push(`${String(rejected)} rejected`);
  if (skipped > 0) parts.push(`${counted(skipped, 'file', 's')} skipped, not a batch`);
  if (unfinished > 0) parts.push(`${String(unfinished)} not finished`);
  return parts.join('; ');
}

function counted(count: number, noun: string, plural: string): string {
  return `${count.toLocaleString('en')} ${noun}${count === 1 ? '' : plural}`;
}
