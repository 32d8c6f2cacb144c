import { isIP } from 'node:net';
import { StartupError } from './startup-error.js';

/**
 * An origin: scheme, host and port of a URL.
 * @returns in lower case and without the default port of the scheme
 * @throws StartupError for anything else, such as a URL with a path: no URL in a response has a prefix
 */
export function parseOrigin(setting: string, text: string): string {
  const url = URL.canParse(text) ? new URL(text) : null;
  if (url === null || !/^https?:$/.test(url.protocol) || url.href !== `${url.origin}/`) {
    throw new StartupError(
      `${setting} must be an http:// or https:// URL without a path, such as https://example.org, not "${text}"`,
    );
  }
  return url.origin;
}

/** `*`, or comma-separated origins. @throws StartupError naming the first invalid one */
export function parseOrigins(setting: string, text: string): string[] {
  if (text === '*') return ['*'];
  const origins = text.split(',').map((origin) => parseOrigin(setting, origin.trim()));
  // The URL parser accepts it in a host, but no browser sends such an origin.
  const pattern = origins.find((origin) => origin.includes('*'));
  if (pattern !== undefined)
    throw new StartupError(`${setting} must be complete origins, or * alone for all, not "${pattern}"`);
  return origins;
}

/** Comma-separated addresses and CIDR ranges, both of IPv4 and IPv6. @throws StartupError naming the first invalid one */
export function parseAddressRanges(setting: string, text: string): string[] {
  const ranges = text.split(',').map((range) => range.trim());
  for (const range of ranges) {
    if (!isAddressRange(range)) {
      throw new StartupError(
        `${setting} must be addresses or CIDR ranges such as 10.0.0.0/8, separated by commas, not "${range}"`,
      );
    }
  }
  return ranges;
}

/** A range of all addresses (/0) is invalid: it would believe every client. */
function isAddressRange(text: string): boolean {
  const [, address = '', prefix] = /^([^/]*)(?:\/([1-9]\d{0,2}))?$/.exec(text) ?? [];
  const version = isIP(address);
  return version !== 0 && (prefix === undefined || Number(prefix) <= (version === 4 ? 32 : 128));
}
