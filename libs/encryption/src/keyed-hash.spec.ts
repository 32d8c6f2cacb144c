import { createHmac, randomBytes } from 'node:crypto';
import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { KeyedHash } from './keyed-hash.js';

describe('digest', () => {
  it('is the HMAC-SHA256 of node:crypto, whatever the text and its length are', () => {
    const text = fc.oneof(
      fc.string({ unit: 'binary' }),
      fc.string({ unit: 'grapheme', maxLength: 2_000, size: 'max' }),
    );
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 1, maxLength: 64 }), fc.array(text, { minLength: 1 }), (bytes, texts) => {
        const hash = new KeyedHash(Buffer.from(bytes));
        for (const one of texts) {
          expect(hash.digest(one)).toBe(createHmac('sha256', bytes).update(one).digest('base64url'));
        }
      }),
    );
  });

  it.each([0, 1, 339, 340, 341, 342, 1_023, 1_024, 1_025, 5_000])(
    'is the same for %d characters of three bytes',
    (n) => {
      const key = randomBytes(32);
      const text = '€'.repeat(n);
      expect(new KeyedHash(key).digest(text)).toBe(createHmac('sha256', key).update(text).digest('base64url'));
    },
  );
});
