/** The supported preferences. */
type Preference = 'respond-async' | 'return=representation';

/** Whether a Prefer header (RFC 7240) contains the preference. */
export function hasPreference(header: string | string[] | undefined, preference: Preference): boolean {
  return [header ?? []]
    .flat()
    .flatMap((one) => one.split(','))
    .some((one) => one.replace(/;.*/s, '').replace(/[\s"]/g, '').toLowerCase() === preference);
}
