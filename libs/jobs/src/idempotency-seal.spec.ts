import { describe, expect, it } from '@jest/globals';
import { ResponseSealer, seal, unseal } from './idempotency-seal.js';

const RESPONSE = {
  headers: { 'content-type': 'application/json', location: 'http://host/ü' },
  body: Buffer.from('{"key":\n"stw_admin_secret"}\n'),
};
const sealer = new ResponseSealer('a secret of the tests, 32 characters');
const slot = sealer.keyRecordOf([1, '2', '/keys', {}, 'my key']);

describe('a sealed response', () => {
  it('unseals to the same bytes', () => {
    expect(unseal(seal(RESPONSE, slot), slot)).toEqual(RESPONSE);
    const empty = { headers: {}, body: Buffer.alloc(0) };
    expect(unseal(seal(empty, slot), slot)).toEqual(empty);
  });

  it('reveals no part of the response, and differs each time', () => {
    const sealed = seal(RESPONSE, slot);
    expect(sealed.includes('stw_admin_secret')).toBe(false);
    expect(sealed.includes('location')).toBe(false);
    expect(seal(RESPONSE, slot).equals(sealed)).toBe(false);
  });

  it.each([
    ['another Idempotency-Key', sealer.keyRecordOf([1, '2', '/keys', {}, 'your key'])],
    [
      'another installation',
      new ResponseSealer('another secret, of 32 characters').keyRecordOf([1, '2', '/keys', {}, 'my key']),
    ],
    ['the hash in the database', { hash: slot.hash, secret: slot.hash }],
  ])('cannot be unsealed with %s', (_, other) => {
    expect(() => unseal(seal(RESPONSE, slot), other)).toThrow();
  });

  it('cannot be unsealed after a byte is changed', () => {
    const sealed = seal(RESPONSE, slot);
    for (const at of [0, 12, 28, sealed.length - 1]) {
      const changed = Buffer.from(sealed);
      changed.writeUInt8(changed.readUInt8(at) ^ 1, at);
      expect(() => unseal(changed, slot)).toThrow();
    }
  });
});

describe('a fingerprint', () => {
  it('is equal for equal requests, and differs for requests that differ in any part', async () => {
    const print = async (parts: unknown[], body?: string): Promise<string> =>
      (await sealer.fingerprintOf(parts, body === undefined ? undefined : Buffer.from(body))).toString('hex');
    const prints = await Promise.all([
      print(['a', 'b'], 'c'),
      print(['a', 'b'], 'd'),
      print(['a', 'b'], ''),
      print(['a', 'b']),
      print(['a'], 'bc'),
      print(['a', undefined], 'c'),
    ]);
    expect(new Set(prints).size).toBe(prints.length);
    expect(await print(['a', 'b'], 'c')).toBe(prints[0]);
  });
});
