import { ROLES } from '#http';
import { mayBeKey } from '#platform';
import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { hashOf, makeKey, prefixOf } from './api-key.js';

describe('makeKey', () => {
  it.each(ROLES)('makes a key with the prefix of a %s', (role) => {
    expect(makeKey(role)).toMatch(new RegExp(`^stw_${role}_[0-9A-Za-z]{36}$`));
  });

  it('makes a different key each time', () => {
    expect(new Set(Array.from({ length: 1000 }, () => makeKey('admin'))).size).toBe(1000);
  });

  it('makes keys that mayBeKey accepts', () => {
    for (const role of ROLES) expect(mayBeKey(makeKey(role))).toBe(true);
  });
});

describe('mayBeKey', () => {
  const characters = fc.constantFrom(...'0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz');

  it('rejects a key with one wrong character', () => {
    const key = makeKey('producer');
    const start = 'stw_producer_'.length;
    fc.assert(
      fc.property(fc.integer({ min: start, max: key.length - 1 }), characters, (at, character) => {
        fc.pre(key[at] !== character);
        expect(mayBeKey(key.slice(0, at) + character + key.slice(at + 1))).toBe(false);
      }),
    );
  });

  it('rejects a key with two adjacent characters swapped or with another role', () => {
    const key = makeKey('producer');
    for (let at = 'stw_producer_'.length; at < key.length - 1; at++) {
      const [a = '', b = ''] = [key[at], key[at + 1]];
      if (a !== b) expect(mayBeKey(key.slice(0, at) + b + a + key.slice(at + 2))).toBe(false);
    }
    expect(mayBeKey(key.replace('producer', 'admin'))).toBe(false);
  });
});

describe('a key from a setting', () => {
  it('can have any other format, up to 1,024 visible ASCII characters', () => {
    for (const key of ['a'.repeat(32), 'stw_admin_short', makeKey('admin') + '0', 'x'.repeat(1024)])
      expect(mayBeKey(key)).toBe(true);
    for (const key of ['x'.repeat(1025), 'ü'.repeat(32), 'a space and so no Bearer credential'])
      expect(mayBeKey(key)).toBe(false);
  });

  it('has a prefix that reveals no part of it', () => {
    expect(prefixOf('my own secret of 32 characters!!')).toBe('(from a setting)');
  });
});

describe('the stored parts of a key', () => {
  it('include the prefix, with four random characters', () => {
    const key = makeKey('analyst');
    expect(prefixOf(key)).toBe(key.slice(0, 'stw_analyst_'.length + 4));
  });

  it('include a hash that depends on the secret', () => {
    const key = makeKey('analyst');
    expect(hashOf(key, 'secret')).toHaveLength(32);
    expect(hashOf(key, 'secret')).toEqual(hashOf(key, 'secret'));
    expect(hashOf(key, 'secret')).not.toEqual(hashOf(key, 'another'));
    expect(hashOf(makeKey('analyst'), 'secret')).not.toEqual(hashOf(key, 'secret'));
  });
});
