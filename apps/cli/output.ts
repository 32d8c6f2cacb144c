/** Writes one line for a person to standard error; standard output is for results that another program may read. */
export function printMessage(text: string): void {
  process.stderr.write(`${oneLine(text)}\n`);
}

/** Writes one line of the command's result. */
export function printLine(text: string): void {
  process.stdout.write(`${text}\n`);
}

/** Escapes control characters: ids, names and responses may contain line breaks and terminal control sequences. */
export function oneLine(text: string): string {
  return text.replace(/\s*\n\s*/g, ' ').replace(/\p{Cc}/gu, (control) => JSON.stringify(control).slice(1, -1));
}

/** Formats rows under a heading; each column is as wide as its widest value. */
export function table(heading: readonly string[], rows: readonly (readonly string[])[]): string[] {
  const lines = [heading, ...rows].map((row) => row.map(oneLine));
  const widths = heading.map((_, column) => Math.max(...lines.map((line) => line[column]?.length ?? 0)));
  return lines.map((line) =>
    line
      .map((value, column) => value.padEnd(widths[column] ?? 0))
      .join('  ')
      .trimEnd(),
  );
}
