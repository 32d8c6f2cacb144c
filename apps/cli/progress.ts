import { SingleBar } from 'cli-progress';
import { formatBytes } from './load-meter.js';
import { printLine } from './output.js';

const BAR_INTERVAL_MS = 200;
const LINE_INTERVAL_MS = 1_000;

/** How far a command is. */
export interface ProgressFigures {
  /** From 0 to 1, for the bar. */
  fraction: number;
  text: string;
}

/** Shows the progress of a command: a bar on a terminal, otherwise one line per second. */
export class Progress {
  private readonly startedAtMs = Date.now();
  private readonly bar: SingleBar | undefined;
  private readonly timer: NodeJS.Timeout;

  /** @param figures called for each line */
  constructor(private readonly figures: (elapsedMs: number) => ProgressFigures) {
    if (process.stdout.isTTY) {
      // The command itself handles signals.
      this.bar = new SingleBar({ stream: process.stdout, gracefulExit: false, format: '{bar} {text}', barsize: 24 });
      this.bar.start(1, 0, { text: '' });
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
    const { fraction, text } = this.figures(this.elapsedMs);
    if (this.bar === undefined) printLine(text);
    else this.bar.update(Math.min(fraction, 1), { text });
  }
}

/** @param total approximate */
export function bytesFigures(bytes: number, total: number, text: string, elapsedMs: number): ProgressFigures {
  const rate = `${formatBytes((bytes * 1000) / Math.max(elapsedMs, 1))}/s`;
  return { fraction: bytes / Math.max(total, 1), text: `${formatBytes(bytes)}, ${rate}, ${text}` };
}
