/** Query parameters; those that are null, undefined or empty are left out. */
export type Parameters = object;

/** Empty, or a query string with its question mark. */
export function queryText(parameters: Parameters): string {
  const query = new URLSearchParams(Object.entries(given(parameters)).map(([name, value]) => [name, String(value)]));
  return query.size === 0 ? '' : `?${query.toString()}`;
}

/** The parameters that have a value. */
export function given<T extends object>(parameters: T): { [Name in keyof T]?: NonNullable<T[Name]> } {
  const entries = Object.entries(parameters).filter(
    ([, value]) => value !== null && value !== undefined && value !== '',
  );
  return Object.fromEntries(entries) as { [Name in keyof T]?: NonNullable<T[Name]> };
}

/** A GET request as a command, with the key in a variable. */
export function curlText(path: string, parameters: Parameters): string {
  const options = Object.entries(given(parameters)).map(
    ([name, value]) => ` --data-urlencode ${shellQuoted(`${name}=${String(value)}`)}`,
  );
  return `curl -s -H "X-Api-Key: $KEY" -G ${shellQuoted(location.origin + path)}${options.join('')}`;
}

export function urlText(path: string, parameters: Parameters): string {
  return location.origin + path + queryText(parameters);
}

function shellQuoted(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}
