import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { AddressNotAllowedError, PublicAddresses } from './public-address.js';

const PUBLIC = ['8.8.8.8', '93.184.216.34', '2606:4700::6810:84e5', '2a00:1450:4001:81b::200e'];
const INSIDE = [
  ...['0.0.0.0', '10.1.2.3', '100.64.0.1', '127.0.0.1', '127.9.9.9', '169.254.169.254', '172.16.0.1', '172.31.255.255'],
  ...['192.0.0.1', '192.0.2.1', '192.168.0.1', '198.18.0.1', '198.51.100.1', '203.0.113.1', '224.0.0.1', '240.0.0.1'],
  ...[
    '168.63.129.16',
    '::ffff:168.63.129.16',
    '255.255.255.255',
    '::',
    '::1',
    '::ffff:127.0.0.1',
    '::ffff:10.0.0.1',
    '::127.0.0.1',
    'fc00::1',
    'fd00:ec2::254',
  ],
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

describe('a URL', () => {
  const addresses = new PublicAddresses(['10.0.0.0/8']);
  const HIDDEN = [
    ...['http://127.0.0.1/', 'http://127.1/', 'http://2130706433/', 'http://0x7f000001/', 'http://0177.0.0.1/'],
    ...['http://127.0.0.1./', 'http://%31%32%37.0.0.1/', 'http://169.254.169.254/latest', 'http://[::1]:8080/'],
    ...['http://[::ffff:127.0.0.1]/', 'http://[::ffff:7f00:1]/', 'http://[64:ff9b::7f00:1]/', 'http://１２７.0.0.1/'],
  ];

  it.each(HIDDEN)('%s is refused, and the reason names the setting', (url) => {
    expect(addresses.refusalOf(url)).toMatch(/^the address \S+ is in a network that WEBHOOK_ALLOWED_NETWORKS does not/);
  });

  it.each(['http://10.1.2.3/', 'http://[::ffff:10.1.2.3]/', 'https://8.8.8.8/', 'http://localhost/'])(
    '%s is not refused: its address is allowed, or it has a name',
    (url) => {
      expect(addresses.refusalOf(url)).toBeNull();
    },
  );
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

describe('a name', () => {
  const A = 1;
  let server: Socket;
  let servers: string[];
  /** The address of each name of the server, null for one without; it does not respond for others. */
  let names: Record<string, readonly number[] | null>;

  beforeEach(async () => {
    names = {};
    server = createSocket('udp4').bind(0, '127.0.0.1');
    await once(server, 'listening');
    servers = [`127.0.0.1:${String(server.address().port)}`];
    server.on('message', (query, { port }) => {
      const { name, type, end } = questionOf(query);
      const address = names[name];
      if (address === undefined) return;
      server.send(responseTo(query.subarray(0, end), type === A ? address : null), port, '127.0.0.1');
    });
  });
  afterEach(() => {
    server.close();
  });

  const lookUp = (name: string, allowed: readonly string[] = []): Promise<unknown> =>
    new Promise((resolve) => {
      new PublicAddresses(allowed, servers).lookup(name, { all: true }, (error, found) => {
        resolve(error ?? found);
      });
    });

  it('is looked up in DNS', async () => {
    names = { 'a.example': [8, 8, 8, 8] };
    expect(await lookUp('a.example')).toEqual([{ address: '8.8.8.8', family: 4 }]);
  });

  it('with an address inside the network in DNS gets no address', async () => {
    names = { 'a.example': [10, 0, 0, 1] };
    const refused = await lookUp('a.example');
    expect(refused).toBeInstanceOf(AddressNotAllowedError);
    const message = 'the name a.example has an address in a network that WEBHOOK_ALLOWED_NETWORKS does not allow';
    expect(refused).toMatchObject({ message });
    expect(await lookUp('a.example', ['10.0.0.0/8'])).toEqual([{ address: '10.0.0.1', family: 4 }]);
  });

  it('without an address gets an error that says so, and is shortened', async () => {
    const long = `${'a'.repeat(60)}.${'b'.repeat(60)}.example`;
    names = { 'a.example': null, [long]: null };
    expect(await lookUp('a.example')).toMatchObject({ message: 'the name a.example has no address' });
    expect(await lookUp(long)).toMatchObject({ message: `the name ${long.slice(0, 100)}… has no address` });
  });

  it('is found in the hosts file without DNS', async () => {
    expect(await lookUp('localhost', ['127.0.0.0/8', '::1', 'fe00::/8', 'ff00::/8'])).toContainEqual({
      address: '127.0.0.1',
      family: 4,
    });
  });

  it('whose server does not respond keeps no thread of the process, and fails within some seconds', async () => {
    const asked = once(server, 'message');
    const failure = lookUp('silent.example');
    await asked;
    // What dns.lookup is while it waits on such a thread.
    expect(process.getActiveResourcesInfo()).not.toContain('GetAddrInfoReqWrap');
    const message = 'DNS did not respond in time for the name silent.example';
    expect(await failure).toMatchObject({ code: 'ETIMEOUT', message });
  }, 15_000);
});

/** The first question of a message (RFC 1035, section 4), and where it ends. */
function questionOf(message: Buffer): { name: string; type: number; end: number } {
  const labels: string[] = [];
  let at = 12;
  for (let length = message[at] ?? 0; length > 0; length = message[at] ?? 0) {
    labels.push(message.toString('latin1', at + 1, at + 1 + length));
    at += 1 + length;
  }
  return { name: labels.join('.').toLowerCase(), type: message.readUInt16BE(at + 1), end: at + 5 };
}

/** @param question a message up to the end of its question @param address null for a name without one */
function responseTo(question: Buffer, address: readonly number[] | null): Buffer {
  const header = Buffer.from(question);
  header.writeUInt16BE(0x8180, 2);
  header.writeUInt16BE(address === null ? 0 : 1, 6);
  header.fill(0, 8, 12);
  // The name of the question, type A, class IN, 60 seconds, 4 bytes.
  const record = [0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4];
  return Buffer.concat(address === null ? [header] : [header, Buffer.from([...record, ...address])]);
}
