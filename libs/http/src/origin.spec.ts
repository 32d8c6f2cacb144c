import { describe, expect, it } from '@jest/globals';
import type { FastifyRequest } from 'fastify';
import { requestOrigin, requestUrl } from './origin.js';

function requestOf(originalUrl: string, protocol = 'http'): FastifyRequest {
  return { protocol, host: 'server:8000', originalUrl, server: { publicUrl: null } } as FastifyRequest;
}

describe('requestOrigin', () => {
  it.each([
    ['https', 'https://server:8000'],
    ['http', 'http://server:8000'],
    ['1', 'http://server:8000'],
    ['javascript', 'http://server:8000'],
    ['', 'http://server:8000'],
  ])('accepts only http and https as the protocol of a proxy: %j', (protocol, origin) => {
    expect(requestOrigin(requestOf('/', protocol))).toBe(origin);
  });
});

describe('requestUrl', () => {
  it.each([
    ['/things', '/things', ''],
    ['/things?', '/things', ''],
    ['/things?a=/b?c', '/things', 'a=/b?c'],
    ['http://x:99999/things?a=b', '/things', 'a=b'],
    ['HTTPS://[/things', '/things', ''],
    ['http://host?a=b', '/', 'a=b'],
    ['/a/../b/%2e%2E/./c', '/a/../b/%2e%2E/./c', ''],
    ['//host/things', '//host/things', ''],
    ['/a b?c="<d>"', '/a%20b', 'c=%22%3Cd%3E%22'],
    ['/things#a', '/things', 'a'],
  ])('splits %s without resolving it', (target, path, query) => {
    expect(requestUrl(requestOf(target))).toEqual({ origin: 'http://server:8000', path, query });
  });
});
