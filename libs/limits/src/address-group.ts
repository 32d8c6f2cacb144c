import { isIPv6 } from 'node:net';

const MAPPED_IPV4 = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i;

/**
 * The addresses that one client can choose from: an IPv4 address itself, an IPv6 address with its first 64 bits, because a
 * network assigns a /64 to each of its users (RFC 6177).
 */
export function addressGroupOf(address: string): string {
  // The common case, and the values that a proxy sends in place of an address.
  if (!address.includes(':') || !isIPv6(address)) return address;
  const ipv4 = MAPPED_IPV4.exec(address)?.[1];
  if (ipv4 !== undefined) return ipv4;
  const [start = '', end] = address.split('%', 1)[0]?.split('::') ?? [];
  const groups = groupsOf(start);
  if (end !== undefined) {
    const last = groupsOf(end);
    // A dotted IPv4 address at the end takes the place of two groups.
    const length = last.length + (end.includes('.') ? 1 : 0);
    while (groups.length + length < 8) groups.push('0');
    groups.push(...last);
  }
  const prefix = groups.slice(0, 4).map((group) => parseInt(group, 16).toString(16));
  return `${prefix.join(':')}::/64`;
}

function groupsOf(text: string): string[] {
  return text === '' ? [] : text.split(':');
}
