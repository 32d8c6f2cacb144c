import { describe, expect, it } from '@jest/globals';
import { CorruptZstd } from './bits.js';
import { ZstdFrames } from './frames.js';

/** The output of the program `zstd` (1.5) for `words()` with -19, which uses every kind of table, and for `long()` with -3. */
const WORDS =
  'KLUv/QRo7R0AwgwdF8AbDrvfPrQ7Xox7xG4BAmRKiYFQpjo3/+uci39rlu75bdWfe1vmzd51vmqu6m6rSLdq+97P58vl7raj/W82X6v7F6tn' +
  'eb/VFetf63N7k7zr3ZAJrfvz6aVxJoiRnoi1E8JhhCC4AEg+AEqVsR4NgBcJAgSBp6hh7pSNfQNBCAGCGLOi3gEhGMcY6aBRqkqSJHscKgDZ' +
  'E6gpPpKQV1X2Np/bXpHiUSCrLjzr9c8SIF+yo1ZlyYpkuDoblCM8IVHw02Vb7Ytlj/+VNPpjUkQqphhc90GhFx3J7io6tWH2ry5yjxW5tAgk' +
  'Ch2W2DL+vybb1ifUxbm+vxeEPhLTzf3bDVtPbgK2+bsjEYWpPMdEFZdxwBgEuZYNb4uAjx9R9TW3Ot5z5pDZdwFPd4bl7+aWbPZpayl+UHoa' +
  'w0iOOz9KqELeC/Y2VUKxlKkUZkZcYgw1cAoOrF8NMX+LLFlofWU5XNWMD46cwXW4xRlwusOz09wWKleIHWyFboTWczZhA8VYKyGFBoFWdvcz' +
  'wP30dzdtMO+6wE3PiPwn45LLfX12/1V+zKca7Xiul8+T7Iub6NN6kVY+AmNr70RBhYxdmcncTR9WhEgDgY2lrTXwJ+WT3FE1tcfLpYPAfDv+' +
  'AVUdp0L7T6nAcFipJJgQd8I4wtIs3L2mkWQsIw9TCkjbGSyl9xrqzqoCDQwZ86kk98CoonXeBt40wfypegzNx9CBjof8K2iJ39EFHsfjhDVG' +
  'aqqT4UzDloeDTUjc4uv/wF2f4OpvKnOPpZoGNSLNCnfbPSCulnEJ40OQiLRwrv/FoGOsbRUkATSAAeNS2kODh2BTxMfotrBzfWFpBQFClzUw' +
  'aynSRnjDScZ6wncxhdvXCeZr8+quKQQxo5IHIopQqmmWZ6h3mPgnPH3hazX9Q47KJoTE3X/6aA8GjIWdQwUryh4LWJOBEzkYodEOrnr3r8zQ' +
  '0C3cXmCrmjuMrTHlUoKzObNT+9rt8iKJaq4W+Tj+7bBTlsyd2fjB0GbgrdgUcQOxjdi4//+c0VOkOsdNrlpd4ee4DsclEnBrgW0pQXryCgVF' +
  'l5Kmi/i0k0o8p012EdCYINRXrgk+Cu8/8a1lbfHYBs6BYia8QJN0WCELfjkEKNfFbEgK+5Q/1ZskjcmTxe62zUA7qgStWbc36NDivExyi7Dd' +
  'FhRWQAryiYkjGkKsDqE+scSIxpU05APsXrnASxBbetzr134ZjT/xIwvswiGzGO9XYLKTJYYq4EZ6PYmcDOEq6nRCq92G5OCvvUMVIHYXwA==';
const LONG =
  'KLUv/QRYxAAAgDAxMjM0NTY3ODlhYmNkZWYBANr/J59LTAAACDABAPz/ORACxQEAhAIwInR5cGUiOmNzY2FyZmZ7ImtleSI6YWJvb3Rkc2hv' +
  'ZWFib290YsOkBABWEZIUKdocBn9YB0KXXU40';

function words(): string {
  let state = 1;
  const next = (count: number): number => {
    state = (Math.imul(state, 1103515245) + 12345) >>> 0;
    return (state >>> 8) % count;
  };
  const parts = ['shoe', 'boot', 'hat', 'scarf', 'ä€😀', '"type":', '{"key":'];
  let text = '';
  while (text.length < 4000) text += (parts[next(7)] ?? '') + String.fromCharCode(97 + next(6));
  return text;
}

function long(): string {
  return '0123456789abcdef'.repeat(20000) + words().slice(0, 60);
}

function bytes(base64: string): Buffer {
  return Buffer.from(base64, 'base64');
}

/** A frame without a checksum and, by default, with a window of 8 MiB. */
function frame(blocks: readonly Buffer[], descriptor = 0x68): Buffer {
  return Buffer.concat([Buffer.from([0x28, 0xb5, 0x2f, 0xfd, 0, descriptor]), ...blocks]);
}

function block(type: 0 | 1 | 2 | 3, size: number, content: Uint8Array, isLast = true): Buffer {
  const header = Buffer.alloc(3);
  header.writeUIntLE(size * 8 + type * 2 + Number(isLast), 0, 3);
  return Buffer.concat([header, content]);
}

function raw(text: string): Buffer {
  return frame([block(0, text.length, Buffer.from(text))]);
}

function skippable(size: number): Buffer {
  const header = Buffer.from([0x5a, 0x2a, 0x4d, 0x18, 0, 0, 0, 0]);
  header.writeUInt32LE(size, 4);
  return Buffer.concat([header, Buffer.alloc(size, 'x')]);
}

function decode(data: Buffer, chunk = data.length): Buffer {
  const frames = new ZstdFrames();
  const parts: Buffer[] = [];
  for (let at = 0; at < data.length; at += chunk) parts.push(...frames.push(data.subarray(at, at + chunk)));
  frames.end();
  return Buffer.concat(parts);
}

describe('data compressed by the zstd program', () => {
  it.each([1, 2, 3, 7, 100, 100_000])('is decoded from chunks of %i bytes', (chunk) => {
    expect(decode(bytes(WORDS), chunk).toString()).toBe(words());
    expect(decode(bytes(LONG), chunk).toString() === long()).toBe(true);
  });

  it('is decoded from consecutive frames with skippable frames between them', () => {
    const data = Buffer.concat([
      skippable(0),
      bytes(WORDS),
      skippable(300),
      raw('hat'),
      raw(''),
      bytes(WORDS),
      skippable(5),
    ]);
    for (const chunk of [1, 10, data.length]) expect(decode(data, chunk).toString()).toBe(`${words()}hat${words()}`);
  });

  it('is rejected when truncated at any byte', () => {
    const data = bytes(WORDS);
    for (let length = 1; length < data.length; length++) {
      expect(() => decode(data.subarray(0, length))).toThrow(CorruptZstd);
    }
  });

  it('is never decoded to different data when a bit is flipped', () => {
    const whole = bytes(WORDS);
    let refused = 0;
    let tried = 0;
    for (let bit = 0; bit < whole.length * 8; bit += 23, tried++) {
      const data = Buffer.from(whole);
      data[bit >> 3] = (data[bit >> 3] ?? 0) ^ (1 << (bit & 7));
      try {
        // A flipped bit that is unused, or that enlarges the window, has no effect.
        expect(decode(data).toString()).toBe(words());
      } catch (error) {
        expect(error).toBeInstanceOf(CorruptZstd);
        refused++;
      }
    }
    expect(tried - refused).toBeLessThan(5);
  });
});

describe('a frame', () => {
  it.each<[string, Buffer]>([
    ['is not a frame', Buffer.from('{"batch_id":"plain"}')],
    ['is followed by other data', Buffer.concat([raw('hat'), Buffer.from('{}\r\n')])],
    ['needs a dictionary', Buffer.from([0x28, 0xb5, 0x2f, 0xfd, 0x21, 7, 1, 1, 0, 0, 0])],
    ['has a block of an unknown type', frame([block(3, 1, Buffer.from('x'))])],
    ['has a block larger than its window', frame([block(1, 2048, Buffer.from('x'))], 0)],
    ['has a block over 128 KiB', frame([block(1, 131_073, Buffer.from('x'))])],
    [
      'does not have its declared size',
      Buffer.from([0x28, 0xb5, 0x2f, 0xfd, 0x20, 4, ...block(1, 3, Buffer.from('x'))]),
    ],
    ['needs a window over 8 MiB', frame([block(0, 0, Buffer.alloc(0))], 0x69)],
    ['is a single segment over 8 MiB', Buffer.from([0x28, 0xb5, 0x2f, 0xfd, 0xa0, 1, 0, 128, 0, 1, 0, 0])],
  ])('is rejected when it %s', (_, data) => {
    expect(() => decode(data)).toThrow(CorruptZstd);
  });

  it('uses memory for its content, not for its declared size', () => {
    const before = process.memoryUsage().arrayBuffers;
    const frames = Array.from({ length: 200 }, () => {
      const decoder = new ZstdFrames();
      expect([...decoder.push(frame([block(0, 3, Buffer.from('hat'), false)]))].toString()).toBe('hat');
      return decoder;
    });
    expect((process.memoryUsage().arrayBuffers - before) / frames.length).toBeLessThan(300_000);
  });
});

describe('a block', () => {
  it('is decoded only when it is requested', () => {
    const blocks = Array.from({ length: 10_000 }, () => block(1, 131_072, Buffer.from('0'), false));
    const before = process.memoryUsage().arrayBuffers;
    const pulled = new ZstdFrames().push(frame(blocks));
    for (let i = 0; i < 5; i++) expect(pulled.next().value).toHaveLength(131_072);
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(10_000_000);
  });

  it('takes bounded time, for any declared size', () => {
    // 43,000 matches of 65,539 bytes, in ten bytes: 2.8 GB to copy.
    const count = 43_000 - 0x7f00;
    const content = Buffer.from([8, 97, 255, count & 255, count >> 8, 0x54, 0, 0, 52, 1]);
    // CPU time of this process, which does not depend on other processes.
    const start = process.cpuUsage();
    expect(() => decode(frame([block(2, content.length, content)]))).toThrow(CorruptZstd);
    const { user, system } = process.cpuUsage(start);
    expect((user + system) / 1_000).toBeLessThan(100);
  });
});
