import { SingleBar } from 'cli-progress';
import type { ExportDigest } from './export-digest.js';
import { formatBytes, formatCount, perSecond } from './load-meter.js';
import { printLine } from './output.js';

const BAR_INTERVAL_MS = 200;
const LINE_INTERVAL_MS = 1_000;

/** Shows the progress of an export: a bar on a terminal, otherwise one line per second. */
export class ExportProgress {
  private readonly startedAtMs = Date.now();
  private readonly bar: SingleBar | undefined;
  private readonly timer: NodeJS.Timeout;

  /** @param total the number of objects; undefined where it is unknown */
  constructor(
    private readonly digest: ExportDigest,
    private readonly total: number | undefined,
  ) {
    if (process.stdout.isTTY) {
      // The command itself handles signals.
      this.bar = new SingleBar({ stream: process.stdout, gracefulExit: false, format: '{bar} {text}', barsize: 24 });
      this.bar.start(Math.max(total ?? 1, 1), 0, { text: '' });
    }
    const show = (): void => {
      this.show();
    };
    this.timer = setInterval(show, this.bar === undefined ? LINE_INTERVAL_MS : BAR_INTERVAL_MS);
  }

  get elapsedMs(): number {
    return Date.now() - this.startedAtMs;
  }

  end(): void {
    clearInterval(this.timer);
    if (this.bar === undefined) return;
    this.show();
    this.bar.stop();
  }

  private show(): void {
    const { lineCount, sizeBytes } = this.digest;
    const total = this.total === undefined ? '' : ` of ${formatCount(this.total)}`;
    const rate = `${perSecond(lineCount, this.elapsedMs)} objects/s`;
    // The objects of a table are not counted.
    const objects = lineCount === 0 ? [] : [`${formatCount(lineCount)}${total} objects`, rate];
    const text = [...objects, formatBytes(sizeBytes)].join(', ');
    if (this.bar === undefined) printLine(text);
    else this.bar.update(Math.min(lineCount, this.total ?? 0), { text });
  }
}
