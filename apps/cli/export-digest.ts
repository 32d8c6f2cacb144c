import { createHash } from 'node:crypto';
import type { IncomingMessage } from 'node:http';

const LINE_FEED = 10;
/** Longer than the last line of an export. */
const LAST_LINE_MAX = 256;

/** Computes what an export states about itself while it is received. */
export class ExportDigest {
  sizeBytes = 0;
  /** Lines of NDJSON, the last one included. */
  lineCount = 0;
  private readonly hash = createHash('sha256');
  /** The end, which may be the last line. */
  private held = Buffer.alloc(0);

  constructor(private readonly isNdjson: boolean) {}

  add(chunk: Buffer): void {
    this.sizeBytes += chunk.length;
    if (!this.isNdjson) {
      this.hash.update(chunk);
      return;
    }
    for (let at = chunk.indexOf(LINE_FEED); at !== -1; at = chunk.indexOf(LINE_FEED, at + 1)) this.lineCount++;
    const bytes = Buffer.concat([this.held, chunk]);
    const end = Math.max(0, bytes.length - LAST_LINE_MAX);
    this.hash.update(bytes.subarray(0, end));
    this.held = bytes.subarray(end);
  }

  /**
   * Compares the export with its last line if it is NDJSON, otherwise with its trailers.
   * @returns the number of objects, and what is missing or wrong; undefined where the export is whole
   */
  check({ trailers }: Pick<IncomingMessage, 'trailers'>): { count: number; fault: string | undefined } {
    const { 'export-count': trailerCount, 'export-sha256': trailerSha256 } = trailers;
    if (!this.isNdjson) {
      const count = Number(trailerCount);
      if (trailerSha256 === undefined || !Number.isSafeInteger(count)) {
        return { count: 0, fault: 'the trailers Export-Count and Export-SHA256 are missing; a proxy may remove them' };
      }
      const isRight = this.hash.digest('hex') === trailerSha256;
      return { count, fault: isRight ? undefined : 'the SHA-256 is not that of the trailer Export-SHA256' };
    }
    const start = this.held.lastIndexOf(LINE_FEED, -2) + 1;
    const { count, sha256 } = parseLastLine(this.held.subarray(start).toString());
    const objects = this.lineCount - 1;
    const own = this.hash.update(this.held.subarray(0, start)).digest('hex');
    if (typeof count !== 'number') return { count: this.lineCount, fault: 'the last line, with the count, is missing' };
    if (count !== objects) {
      const received = `${objects.toLocaleString('en')} objects were received`;
      return { count: objects, fault: `the last line states ${count.toLocaleString('en')} objects, and ${received}` };
    }
    return { count, fault: sha256 === own ? undefined : 'the SHA-256 is not that of the last line' };
  }
}

function parseLastLine(line: string): { count?: unknown; sha256?: unknown } {
  try {
    return (JSON.parse(line) as { export?: { count?: unknown; sha256?: unknown } }).export ?? {};
  } catch {
    return {};
  }
}
