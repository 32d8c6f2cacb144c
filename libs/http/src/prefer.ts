/** The supported preferences without a number. */
type Preference = 'respond-async' | 'return=representation';

/** Whether a Prefer header (RFC 7240) contains the preference. */
export function hasPreference(header: string | string[] | undefined, preference: Preference): boolean {
  return [header ?? []]
    .flat()
    .flatMap((one) => one.split(','))
    .some((one) => one.replace(/;.*/s, '').replace(/[\s"]/g, '').toLowerCase() === preference);
}

/**
 * The seconds of the preference `wait` in a Prefer header. Null without one, and where the first one is not a number, which is
 * ignored (RFC 7240, sections 2 and 4.3).
 */
export function waitPreference(header: string | string[] | undefined): number | null {
  const parts = [header ?? []].flat().flatMap((one) => one.split(','));
  const wait = parts.find((part) => /^\s*wait\s*(?:[=;]|$)/i.test(part));
  const [, plain, quoted] = /^\s*wait\s*=\s*(?:(\d+)|"(\d+)")\s*(?:;|$)/i.exec(wait ?? '') ?? [];
  const seconds = plain ?? quoted;
  return seconds === undefined ? null : Number(seconds);
}
