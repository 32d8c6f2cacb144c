import { describe, expect, it } from '@jest/globals';
import { AddressNotAllowedError, PublicAddresses } from './public-address.js';

const PUBLIC = ['8.8.8.8', '93.184.216.34', '2606:4700::6810:84e5', '2a00:1450:4001:81b::200e'];
const INSIDE = [
  ...['0.0.0.0', '10.1.2.3', '100.64.0.1', '127.0.0.1', '127.9.9.9', '169.254.169.254', '172.16.0.1', '172.31.255.255'],
  ...['192.0.0.1', '192.0.2.1', '192.168.0.1', '198.18.0.1', '198.51.100.1', '203.0.113.1', '224.0.0.1', '240.0.0.1'],
  ...['255.255.255.255', '::', '::1', '::ffff:127.0.0.1', '::ffff:10.0.0.1', '::127.0.0.1', 'fc00::1', 'fd00:ec2::254'],
  ...[
    'fe80::1',
    'fec0::1',
    'ff02::1',
    '64:ff9b::7f00:1',
    '64:ff9b:1::1',
    '2002:7f00:1::',
    '2001::1',
    '2001:db8::1',
    '100::1',
  ],
  ...['localhost', '', '1', '127.1', '0x7f.0.0.1'],
];

describe('without allowed networks', () => {
  const addresses = new PublicAddresses([]);

  it.each(PUBLIC)('%s is allowed', (address) => {
    expect(addresses.isAllowed(address)).toBe(true);
  });

  it.each(INSIDE)('"%s" is not allowed', (address) => {
    expect(addresses.isAllowed(address)).toBe(false);
  });

  it('a name with an address inside the network gets no address', async () => {
    const error = await new Promise((resolve) => {
      addresses.lookup('localhost', {}, resolve);
    });
    expect(error).toBeInstanceOf(AddressNotAllowedError);
  });
});

describe('allowed networks', () => {
  const addresses = new PublicAddresses(['10.0.0.0/8', '127.0.0.1', 'fd00::/8']);

  it.each([
    ['10.1.2.3', true],
    ['::ffff:10.1.2.3', true],
    ['11.1.2.3', true],
    ['127.0.0.1', true],
    ['127.0.0.2', false],
    ['fd12::1', true],
    ['fc12::1', false],
    ['192.168.0.1', false],
  ])('make the address %s allowed: %s', (address, isAllowed) => {
    expect(addresses.isAllowed(address)).toBe(isAllowed);
  });
});
