const UNITS = ['bytes', 'kB', 'MB', 'GB', 'TB', 'PB'];

/** A size with three digits, in units of 1,000. */
export function sizeText(bytes: number): string {
  const power = Math.min(UNITS.length - 1, Math.floor(Math.log10(Math.max(1, bytes)) / 3));
  const number = (bytes / 1_000 ** power).toLocaleString('en', { maximumSignificantDigits: 3 });
  return `${number} ${UNITS[power] ?? ''}`;
}
