const NUMBER = /^(-?)(\d+)(?:\.(\d+))?(?:[eE]([+-]?\d+))?$/;

/**
 * A JSON number in the one form that all ways to write it share, `123e-2`: told from its text, for a double would round it.
 * Undefined for any other text.
 */
export function canonicalNumber(text: string): string | undefined {
  const match = NUMBER.exec(text);
  if (match === null) return undefined;
  const [, sign = '', whole = '', fraction = '', exponent = '0'] = match;
  const digits = whole + fraction;
  let end = digits.length;
  while (digits.charAt(end - 1) === '0') end--;
  if (end === 0) return '0e0';
  const scale = Number(exponent) - fraction.length + digits.length - end;
  return `${sign}${digits.slice(0, end).replace(/^0+/, '')}e${String(scale)}`;
}

export function isPositive(text: string): boolean {
  const number = canonicalNumber(text);
  return number !== undefined && number !== '0e0' && !number.startsWith('-');
}

export function isWhole(text: string): boolean {
  return canonicalNumber(text)?.includes('e-') === false;
}
