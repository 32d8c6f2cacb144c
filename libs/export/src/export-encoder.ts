import type { EventLoopYield } from '#platform';
import type { ExportRow } from './export-rows.js';

/** Writes the objects of an export in a format. Rows arrive in order; a part may be empty. */
export interface ExportEncoder {
  /** @param turns lets other requests run between rows */
  encode(rows: readonly ExportRow[], turns: EventLoopYield): Promise<string | Uint8Array>;
  /** What follows the last row. */
  end(turns: EventLoopYield): Promise<string | Uint8Array>;
  /** A line after everything else that shows that the export is whole; it is not part of the digest. */
  lastLine?(count: number, sha256: string): string;
}
