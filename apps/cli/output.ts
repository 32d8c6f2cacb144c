import { writeLine } from '../lost-output.js';

/** Writes one line for a person to standard error; standard output is for results that another program may read. */
export function printMessage(text: string): void {
  process.stderr.write(`${oneLine(text)}\n`);
}

/** Writes one line of the command's result. @throws OutputError */
export function printLine(text: string): void {
  writeLine(text);
}

/**
 * Escapes control characters and those that change the direction of text: ids, names and responses may contain line breaks and
 * terminal control sequences, which begin with U+001B or U+009B.
 */
export function oneLine(text: string): string {
  return text.replace(/\s*\n\s*/g, ' ').replace(/[\p{Cc}\p{Bidi_Control}]/gu, escapeCharacter);
}

/** JSON.stringify would not escape U+007F to U+009F. */
function escapeCharacter(character: string): string {
  return `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`;
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
