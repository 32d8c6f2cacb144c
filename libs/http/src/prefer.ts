/** What a client may prefer here. */
type Preference = 'respond-async' | 'return=representation';

/** Whether the Prefer header (RFC 7240) asks for this, among whatever else it asks for. */
export function hasPreference(header: string | string[] | undefined, preference: Preference): boolean {
  return [header ?? []]
    .flat()
    .flatMap((one) => one.split(','))
    .some((one) => one.replace(/;.*/s, '').replace(/[\s"]/g, '').toLowerCase() === preference);
}
