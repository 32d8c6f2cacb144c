import { MultiBar, type SingleBar } from 'cli-progress';
import { LoadMeter, type LoadCounters, type LoadFigures } from './load-meter.js';
import { oneLine, printLine, printMessage } from './output.js';

const BAR_INTERVAL_MS = 200;
const LINE_INTERVAL_MS = 1_000;
const BAR_COLUMNS = 24;

/** Shows the progress of a load: two lines with a bar on a terminal, otherwise one line per second. */
export class LoadProgress {
  private startedAtMs = Date.now();
  private meter: LoadMeter;
  private bars: MultiBar | undefined;
  private lines: SingleBar[] = [];
  private timer: NodeJS.Timeout | undefined;

  constructor(
    private readonly counters: Readonly<LoadCounters>,
    private readonly verb: 'stored' | 'checked',
  ) {
    this.meter = new LoadMeter(counters, this.startedAtMs, verb);
  }

  start(): void {
    this.startedAtMs = Date.now();
    this.meter = new LoadMeter(this.counters, this.startedAtMs, this.verb);
    if (process.stdout.isTTY) {
      // The load itself handles signals.
      const bars = new MultiBar({ stream: process.stdout, gracefulExit: false });
      const figures = this.meter.sample(this.startedAtMs);
      this.lines = [formatBarLine, formatObjectsLine].map((format) =>
        bars.create(1, 0, figures, { format: (_options, _params, payload) => format(payload as LoadFigures) }),
      );
      this.bars = bars;
    }
    const show = (): void => {
      this.show();
    };
    this.timer = setInterval(show, this.bars === undefined ? LINE_INTERVAL_MS : BAR_INTERVAL_MS);
  }

  /** Prints the result of a file, unless there is a bar. */
  file(line: string): void {
    if (this.bars === undefined) printLine(oneLine(line));
  }

  /** Prints an error, or a message about a delay. */
  message(line: string): void {
    // On a terminal the line must go above the bar.
    if (this.bars !== undefined && process.stderr.isTTY) this.bars.log(`${oneLine(line)}\n`);
    else printMessage(line);
  }

  end(): void {
    clearInterval(this.timer);
    if (this.bars === undefined) return;
    this.show();
    // Prints the messages that are waiting to go above the bar.
    (this.bars as unknown as { update(): void }).update();
    this.bars.stop();
  }

  get elapsedMs(): number {
    return Date.now() - this.startedAtMs;
  }

  private show(): void {
    const figures = this.meter.sample(Date.now());
    const { files, bytes, objects, rate, left } = figures;
    if (this.bars === undefined) printLine([files, bytes, objects, rate, left].join(', '));
    else for (const line of this.lines) line.update(figures.fraction ?? 0, figures);
  }
}

/** Fits into 80 columns, like the second line. */
function formatBarLine({ fraction, bytes, left }: LoadFigures): string {
  if (fraction === undefined) return `${bytes} | ${left}`;
  const full = Math.floor(fraction * BAR_COLUMNS);
  const percent = String(Math.floor(fraction * 100)).padStart(3);
  return `${'█'.repeat(full)}${'░'.repeat(BAR_COLUMNS - full)} ${percent} % | ${bytes} | ${left}`;
}

function formatObjectsLine({ files, objects, rate }: LoadFigures): string {
  return `${files} | ${objects} | ${rate}`;
}
