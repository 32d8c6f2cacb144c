const START = Buffer.from('{"export":');

/** Whether a line of NDJSON is the last one of an export, `{"export":{"count":2,"sha256":"…"}}`, and no object. */
export function isExportLine(line: Buffer): boolean {
  return line.subarray(0, START.length).equals(START);
}

/** The number of objects that the last line of an export states; undefined where it states none. */
export function exportedCount(line: Buffer): unknown {
  try {
    return (JSON.parse(line.toString()) as { export: { count?: unknown } | null }).export?.count;
  } catch {
    return undefined;
  }
}
