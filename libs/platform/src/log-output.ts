import { symbols } from 'pino';

/** A pipe takes at most 4,096 bytes at once (PIPE_BUF of Linux): lines of several processes that share it are then not mixed. */
const WRITE_BYTES = 4_096;
/** The longest time that a line waits for others. */
const FLUSH_MS = 100;
const WARN = 40;

/** Where lines are written at once and in full, such as a `destination` of pino with `sync`. */
interface Sink {
  write(text: string): unknown;
}

/**
 * Writes lines of a log together: a system call for each of them costs as much as to build the line. A line of a warning or an
 * error is written at once, after those before it, and the others when there are enough of them, after 100 ms, and at the exit of the process. At
 * most one write waits in memory: where the reader of the log does not read, the process waits, and no line is lost.
 */
export class LogOutput {
  /** Has pino set `lastLevel` before it writes a line. */
  readonly [symbols.needsMetadataGsym] = true;
  lastLevel = 0;
  private lines: string[] = [];
  private length = 0;
  private timer: NodeJS.Timeout | undefined;
  private flushesAtExit = false;

  constructor(private readonly sink: Sink) {}

  write(line: string): void {
    if (this.length + line.length > WRITE_BYTES) this.flush();
    this.lines.push(line);
    this.length += line.length;
    if (this.lastLevel >= WARN) this.flush();
    else if (this.timer === undefined) this.flushLater();
  }

  /** Writes the lines that wait. */
  flush(done?: () => void): void {
    if (this.length > 0) {
      const { lines } = this;
      this.lines = [];
      this.length = 0;
      const text = lines.join('');
      // Nearly all of it is ASCII, so the bytes of each line are not counted: that would cost as much as to join them.
      if (Buffer.byteLength(text) <= WRITE_BYTES) this.sink.write(text);
      else for (const line of lines) this.sink.write(line);
    }
    done?.();
  }

  private flushLater(): void {
    this.timer = setTimeout(() => {
      this.timer = undefined;
      this.flush();
    }, FLUSH_MS).unref();
    if (this.flushesAtExit) return;
    this.flushesAtExit = true;
    process.once('exit', () => {
      this.flush();
    });
  }
}
