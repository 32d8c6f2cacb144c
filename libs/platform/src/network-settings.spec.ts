import { describe, expect, it } from '@jest/globals';
import { rejectionOf } from '../../../test/harness/config.js';
import { Config } from './config.js';

describe('PUBLIC_URL', () => {
  it.each([
    ['https://api.example.org', 'https://api.example.org'],
    ['http://localhost:8000/', 'http://localhost:8000'],
    ['HTTPS://API.Example.org:443', 'https://api.example.org'],
    ['http://[::1]:80', 'http://[::1]'],
  ])('accepts %s', (text, origin) => {
    expect(new Config({ PUBLIC_URL: text }).http.publicUrl).toBe(origin);
  });

  it.each([
    'example.org',
    '//example.org',
    'ftp://example.org',
    'https://',
    'https://example.org/api',
    'https://example.org?',
    'https://example.org#x',
    'https://user@example.org',
    'https://a b',
    'https://example.org:99999',
  ])('rejects %s', (text) => {
    expect(rejectionOf({ PUBLIC_URL: text })).toContain('PUBLIC_URL must be an http:// or https:// URL without a path');
  });
});

describe('CORS_ORIGINS', () => {
  it('accepts origins, or * for all', () => {
    const origins = (text: string): readonly string[] => new Config({ CORS_ORIGINS: text }).http.corsOrigins;
    expect(origins('*')).toEqual(['*']);
    expect(origins('https://App.example.org, http://localhost:3000')).toEqual([
      'https://app.example.org',
      'http://localhost:3000',
    ]);
  });

  it.each([
    'app.example.org',
    'null',
    '*,*',
    'https://*.example.org',
    'https://*.example.org/x',
    'https://a.org,*',
    'https://a.org/path',
    'ftp://a.org',
    'https://a.org,',
    'https://a.org https://b.org',
  ])('rejects %s', (text) => {
    expect(rejectionOf({ CORS_ORIGINS: text })).toContain('CORS_ORIGINS must be');
  });
});

describe('TRUSTED_PROXIES', () => {
  it('accepts addresses and CIDR ranges', () => {
    const text = '127.0.0.1, 10.0.0.0/8,::1 , fd00::/8,::ffff:10.0.0.1';
    expect(new Config({ TRUSTED_PROXIES: text }).http.trustedProxies).toEqual([
      '127.0.0.1',
      '10.0.0.0/8',
      '::1',
      'fd00::/8',
      '::ffff:10.0.0.1',
    ]);
  });

  it.each([
    'true',
    'loopback',
    'proxy.example.org',
    '10.0.0.0/33',
    '::1/129',
    '0.0.0.0/0',
    '10.0.0/8',
    '1.2.3.4/',
    ',',
  ])('rejects %s', (text) => {
    expect(rejectionOf({ TRUSTED_PROXIES: `127.0.0.1,${text}` })).toContain('TRUSTED_PROXIES must be addresses');
  });
});
