const UNITS = { w: 604_800, d: 86_400, h: 3_600, m: 60, s: 1 } as const;
/** The form of a duration, for OpenAPI; the length is limited by `parseDurationSeconds`. */
export const DURATION_PATTERN =
  '^(?=.)(?:[1-9]\\d{0,8}w)?(?:[1-9]\\d{0,8}d)?(?:[1-9]\\d{0,8}h)?(?:[1-9]\\d{0,8}m)?(?:[1-9]\\d{0,8}s)?$';
const DURATION = new RegExp(DURATION_PATTERN);
/** Ten years with three leap days. */
const SECONDS_MAX = 3_653 * UNITS.d;

export const DURATION_RULE =
  'must be a duration such as 90s, 15m, 1h, 1d, 2w or 1h30m: whole numbers of w, d, h, m, s in this order, at most 3653d in all';

/** The seconds of a duration; null for any other value. */
export function parseDurationSeconds(text: unknown): number | null {
  if (typeof text !== 'string' || !DURATION.test(text)) return null;
  const parts = Array.from(text.matchAll(/(\d+)([wdhms])/g), ([, digits, unit]) => Number(digits) * UNITS[unit as 's']);
  const seconds = parts.reduce((sum, part) => sum + part);
  return seconds > SECONDS_MAX ? null : seconds;
}

/** The seconds of a validated duration. @throws Error for any other text */
export function durationSeconds(duration: string): number {
  const seconds = parseDurationSeconds(duration);
  if (seconds === null) throw new Error(`${duration} is not a duration`);
  return seconds;
}
