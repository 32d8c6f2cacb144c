import { expect, it } from '@jest/globals';
import { clientAddressOf } from './client-address.js';

it.each([
  ['192.0.2.1', '192.0.2.1'],
  [
    'fe80:1111:2222:3333:4444:5555:6666:7777%a-long-name-of-a-zone',
    'fe80:1111:2222:3333:4444:5555:6666:7777%a-long-name-of-a-zone',
  ],
  ['x'.repeat(16_000), 'x'.repeat(64)],
])('the address of a client is at most 64 characters of what a proxy sends', (ip, address) => {
  expect(clientAddressOf({ ip })).toBe(address);
});
