import { useLocation } from 'preact-iso';

export type Changes<Name extends string> = Partial<Record<Name, string | null>>;

/**
 * The known parameters of the page's URL, and a function that changes them: null removes a parameter.
 * @param names in the order in which they are written
 */
export function useQuery<Name extends string>(
  names: readonly Name[],
): [Readonly<Partial<Record<Name, string>>>, (changes: Changes<Name>, isReplaced?: boolean) => void] {
  const { query, route, path } = useLocation();
  const known: Partial<Record<Name, string>> = {};
  for (const name of names) if (query[name]) known[name] = query[name];
  const change = (changes: Changes<Name>, isReplaced = false): void => {
    const next = new URLSearchParams();
    for (const name of names) {
      const value: string | null | undefined = name in changes ? changes[name] : known[name];
      if (value !== null && value !== undefined && value !== '') next.set(name, value);
    }
    const text = next.toString();
    route(text === '' ? path : `${path}?${text}`, isReplaced);
  };
  return [known, change];
}

/** A list of texts in a parameter, as JSON; null where it is none. */
export function textsOf(parameter: string | undefined): string[] | null {
  if (parameter === undefined) return null;
  try {
    const texts: unknown = JSON.parse(parameter);
    return Array.isArray(texts) ? texts.filter((text) => typeof text === 'string') : null;
  } catch {
    return null;
  }
}
