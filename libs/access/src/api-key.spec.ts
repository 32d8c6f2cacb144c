import { ROLES } from '#http';
import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { hashOf, makeKey, mayBeKey, prefixOf } from './api-key.js';

describe('a key that is made', () => {
  it.each(ROLES)('says that it is ours and a %s', (role) => {
    expect(makeKey(role)).toMatch(new RegExp(`^stw_${role}_[0-9A-Za-z]{36}$`));
  });

  it('is made once', () => {
    expect(new Set(Array.from({ length: 1000 }, () => makeKey('admin'))).size).toBe(1000);
  });

  it('may be a key', () => {
    for (const role of ROLES) expect(mayBeKey(makeKey(role))).toBe(true);
  });
});

describe('a key that is mistyped', () => {
  const characters = fc.constantFrom(...'0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz');

  it('is known by its checksum when one character is another', () => {
    const key = makeKey('producer');
    const start = 'stw_producer_'.length;
    fc.assert(
      fc.property(fc.integer({ min: start, max: key.length - 1 }), characters, (at, character) => {
        fc.pre(key[at] !== character);
        expect(mayBeKey(key.slice(0, at) + character + key.slice(at + 1))).toBe(false);
      }),
    );
  });

  it('is known by its checksum when two neighbours are swapped, or another role is put in', () => {
    const key = makeKey('producer');
    for (let at = 'stw_producer_'.length; at < key.length - 1; at++) {
      const [a = '', b = ''] = [key[at], key[at + 1]];
      if (a !== b) expect(mayBeKey(key.slice(0, at) + b + a + key.slice(at + 2))).toBe(false);
    }
    expect(mayBeKey(key.replace('producer', 'admin'))).toBe(false);
  });
});

describe('a key from a setting', () => {
  it('may have any shape but ours, up to 1,024 characters', () => {
    for (const key of ['a'.repeat(32), 'stw_admin_short', makeKey('admin') + '0', 'x'.repeat(1024)])
      expect(mayBeKey(key)).toBe(true);
    expect(mayBeKey('x'.repeat(1025))).toBe(false);
  });

  it('shows nothing of itself', () => {
    expect(prefixOf('my own secret of 32 characters!!')).toBe('(from a setting)');
  });
});

describe('what is kept of a key', () => {
  it('is its beginning, with four of its characters', () => {
    const key = makeKey('analyst');
    expect(prefixOf(key)).toBe(key.slice(0, 'stw_analyst_'.length + 4));
  });

  it('is a hash that only the secret can make', () => {
    const key = makeKey('analyst');
    expect(hashOf(key, 'secret')).toHaveLength(32);
    expect(hashOf(key, 'secret')).toEqual(hashOf(key, 'secret'));
    expect(hashOf(key, 'secret')).not.toEqual(hashOf(key, 'another'));
    expect(hashOf(makeKey('analyst'), 'secret')).not.toEqual(hashOf(key, 'secret'));
  });
});
