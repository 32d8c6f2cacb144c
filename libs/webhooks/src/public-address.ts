import type { LookupAddress } from 'node:dns';
import { isIP, type LookupFunction } from 'node:net';
import ipaddr from 'ipaddr.js';
import { lookUpName, shortName } from './name-lookup.js';

const NOT_ALLOWED = 'in a network that WEBHOOK_ALLOWED_NETWORKS does not allow';

/** The address of a receiver is inside the network, or reserved. */
export class AddressNotAllowedError extends Error {
  override name = 'AddressNotAllowedError';
}

/** All public addresses of IPv6; those that contain an address of IPv4, such as of NAT64, are outside of it or have a range of their own. */
const GLOBAL_IPV6 = ipaddr.IPv6.parseCIDR('2000::/3');

/** Public by its number, but inside of every virtual network of Azure: it answers with credentials of the machine. */
const INTERNAL_IPV4 = ipaddr.IPv4.parseCIDR('168.63.129.16/32');

/** Which addresses webhooks may be sent to: public ones, and those that the operator allows. */
export class PublicAddresses {
  private readonly allowed: [ipaddr.IPv4 | ipaddr.IPv6, number][];

  /**
   * @param allowed addresses and CIDR ranges
   * @param dnsServers default: those of the machine
   */
  constructor(
    allowed: readonly string[],
    private readonly dnsServers?: readonly string[],
  ) {
    this.allowed = allowed.map((range) => ipaddr.parseCIDR(withPrefix(range)));
  }

  /** Whether a connection may be opened to an address, such as 203.0.113.7 or fd00::1. */
  isAllowed(address: string): boolean {
    if (!ipaddr.isValid(address)) return false;
    // An address of IPv4 in the form ::ffff:10.0.0.1 leads to 10.0.0.1.
    const parsed = ipaddr.process(address);
    const isIn = ([range, bits]: [ipaddr.IPv4 | ipaddr.IPv6, number]): boolean =>
      range.kind() === parsed.kind() && parsed.match(range, bits);
    if (this.allowed.some(isIn)) return true;
    if (isIn(INTERNAL_IPV4)) return false;
    return parsed.range() === 'unicast' && (parsed.kind() === 'ipv4' || isIn(GLOBAL_IPV6));
  }

  /**
   * Why nothing can be sent to a URL that has an address in place of a name, in any form; null where it is allowed. The addresses of a
   * name may change, so they are checked by each look-up.
   */
  refusalOf(url: string): string | null {
    const host = new URL(url).hostname.replace(/^\[|\]$/g, '');
    return isIP(host) === 0 || this.isAllowed(host) ? null : `the address ${host} is ${NOT_ALLOWED}`;
  }

  /**
   * Looks a name up for a connection, which is opened to one of the addresses that were checked, and to no other: a name that is
   * looked up again may have other addresses (DNS rebinding).
   */
  readonly lookup: LookupFunction = (hostname, options, callback) => {
    this.addressesOf(hostname).then(
      (addresses) => {
        const [first] = addresses;
        if (options.all === true) callback(null, addresses, 0);
        else callback(null, first.address, first.family);
      },
      (error: unknown) => {
        callback(error as Error, '', 0);
      },
    );
  };

  /** @throws AddressNotAllowedError where one of them is not allowed; NameLookupError where there is none */
  private async addressesOf(hostname: string): Promise<[LookupAddress, ...LookupAddress[]]> {
    const addresses = await lookUpName(hostname, this.dnsServers);
    if (!addresses.every(({ address }) => this.isAllowed(address)))
      throw new AddressNotAllowedError(`the name ${shortName(hostname)} has an address ${NOT_ALLOWED}`);
    return addresses;
  }
}

function withPrefix(range: string): string {
  return range.includes('/') ? range : `${range}/${range.includes(':') ? '128' : '32'}`;
}
