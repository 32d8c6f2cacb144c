import { API, queryText, type Parameters } from './api.js';

/** A GET request as a command, with the key in a variable. */
export function curlText(path: string, parameters: Parameters): string {
  const options = Object.entries(parameters).flatMap(([name, value]) =>
    value === undefined || value === null ? [] : [` --data-urlencode ${shellQuoted(`${name}=${String(value)}`)}`],
  );
  return `curl -s -H "X-Api-Key: $KEY" -G ${shellQuoted(location.origin + API + path)}${options.join('')}`;
}

export function urlText(path: string, parameters: Parameters): string {
  return location.origin + API + path + queryText(parameters);
}

function shellQuoted(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}
