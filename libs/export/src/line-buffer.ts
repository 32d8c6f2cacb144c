const LINE_FEED = 10;

/** Joins chunks to whole lines. */
export class LineBuffer {
  /** The beginning of a line whose end has not arrived, as it came: joining it for each chunk would take quadratic time. */
  private parts: Buffer[] = [];

  /** The lines that end in this chunk, without the last line feed; null where none ends. */
  take(chunk: Buffer): string | null {
    const end = chunk.lastIndexOf(LINE_FEED);
    if (end === -1) {
      this.parts.push(chunk);
      return null;
    }
    const { parts } = this;
    const text =
      parts.length === 0
        ? chunk.toString('utf8', 0, end)
        : Buffer.concat([...parts, chunk.subarray(0, end)]).toString();
    this.parts = end + 1 < chunk.length ? [chunk.subarray(end + 1)] : [];
    return text;
  }
}
