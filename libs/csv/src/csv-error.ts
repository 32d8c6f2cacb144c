/** CSV that cannot be read any further. */
export class CsvError extends Error {
  override name = 'CsvError';

  /**
   * @param reason to follow the place: "has a cell …"
   * @param line the line on which the row begins, from 1
   * @param column from 1; undefined for the whole row
   * @param isTooLong whether the row exceeds its limit
   */
  constructor(
    readonly reason: string,
    readonly line: number,
    readonly column?: number,
    readonly isTooLong = false,
  ) {
    super(`line ${String(line)}${column === undefined ? '' : `, column ${String(column)}`} ${reason}`);
  }
}
