import { MultiBar, type SingleBar } from 'cli-progress';
import { oneLine, printLine, printMessage } from './output.js';

const BAR_EVERY_MS = 200;
const LINE_EVERY_MS = 1_000;
const FORMAT = '{bar} {percentage} % | {objects} objects | {rate} objects/s | {left} | {files} files';

/** How far a load is. Its size is known in bytes alone: how many objects there are is what the server answers. */
export interface LoadTally {
  files: number;
  filesDone: number;
  /** Of all files whose size is known. */
  bytes: number;
  /** Of those that are done. */
  bytesDone: number;
  objectsDone: number;
  /** The files under way. Of what has no size before it is read, the bytes do not count. */
  underWay: ReadonlySet<{ readonly sizeBytes: number; readonly bytesRead: number }>;
}

/** Shows a load going on: as a bar on a terminal, as a line a second elsewhere. */
export class LoadProgress {
  private startedAt = Date.now();
  private bars: MultiBar | undefined;
  private bar: SingleBar | undefined;
  private timer: NodeJS.Timeout | undefined;

  constructor(private readonly tally: Readonly<LoadTally>) {}

  start(): void {
    this.startedAt = Date.now();
    if (process.stdout.isTTY) {
      // Nothing of it may end on a signal: the load does that, in order.
      this.bars = new MultiBar({ format: FORMAT, stream: process.stdout, barsize: 24, gracefulExit: false });
      this.bar = this.bars.create(1, 0, this.figures());
    }
    const show = (): void => {
      this.show();
    };
    this.timer = setInterval(show, this.bar === undefined ? LINE_EVERY_MS : BAR_EVERY_MS);
  }

  /** What became of a file; the bar alone shows that all is well. */
  file(line: string): void {
    if (this.bar === undefined) printLine(oneLine(line));
  }

  /** A mistake, or something that takes time. */
  say(line: string): void {
    // Two streams on one terminal: the line goes above the bar, not into it.
    if (this.bars !== undefined && process.stderr.isTTY) this.bars.log(`${oneLine(line)}\n`);
    else printMessage(line);
  }

  end(): void {
    clearInterval(this.timer);
    if (this.bars === undefined) return;
    this.show();
    // Flushes the lines that wait to go above the bar.
    (this.bars as unknown as { update(): void }).update();
    this.bars.stop();
  }

  get elapsedMs(): number {
    return Date.now() - this.startedAt;
  }

  private get bytesSent(): number {
    const { bytesDone, underWay } = this.tally;
    // A file may have grown since its size was taken.
    return [...underWay].reduce((sum, file) => sum + Math.min(file.bytesRead, file.sizeBytes), bytesDone);
  }

  private show(): void {
    const { bytes } = this.tally;
    const figures = this.figures();
    if (this.bar !== undefined) this.bar.update(bytes === 0 ? 0 : this.bytesSent / bytes, figures);
    else printLine(`${figures.files} files, ${figures.objects} objects, ${figures.rate} objects/s, ${figures.left}`);
  }

  private figures(): { objects: string; rate: string; left: string; files: string } {
    const { files, filesDone, bytes, objectsDone } = this.tally;
    const sent = this.bytesSent;
    const leftMs = sent === 0 ? undefined : (this.elapsedMs * (bytes - sent)) / sent;
    return {
      objects: objectsDone.toLocaleString('en'),
      rate: rateOf(objectsDone, this.elapsedMs),
      left: leftMs === undefined ? 'time left not known' : `${durationOf(leftMs)} left`,
      files: `${String(filesDone)} of ${String(files)}`,
    };
  }
}

/** Objects a second, in a person's digits. */
export function rateOf(objects: number, ms: number): string {
  return Math.round((objects * 1000) / Math.max(ms, 1)).toLocaleString('en');
}

function durationOf(ms: number): string {
  const seconds = Math.ceil(ms / 1000);
  if (seconds < 60) return `${String(seconds)} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${String(minutes)} min ${String(seconds % 60)} s`;
  return `${String(Math.floor(minutes / 60))} h ${String(minutes % 60)} min`;
}
