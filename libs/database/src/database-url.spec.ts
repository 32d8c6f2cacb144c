import { describe, expect, it } from '@jest/globals';
import pg from 'pg';
import { parseDatabaseUrl } from './database-url.js';
import { StartupError } from '#platform';

const VERIFIED = expect.objectContaining({ rejectUnauthorized: true });

describe('TLS to the database of a URL', () => {
  it.each([
    'postgresql://u:p@db.example.org:5432/d',
    'postgres://u:p@postgres/d',
    'postgres://u:p@10.0.0.5/d',
    'postgres://u:p@[2001:db8::1]/d',
    'postgres://u:p@localhost.example.org/d',
    'postgres://u:p@localhost/d?host=db.example.org',
    'postgres://u:p@db.example.org/d?host=',
    'postgres://u:p@localhost/d?sslmode=verify-full',
    'postgres://u:p@db/d?ssl=true',
    // The driver changes the meaning of these in its next version. Here they never verify less.
    ...['require', 'prefer', 'allow', 'verify-ca'].map((mode) => `postgres://u:p@db/d?sslmode=${mode}`),
  ])('is verified for %s', (text) => {
    expect(parseDatabaseUrl(text).ssl).toEqual(VERIFIED);
  });

  it.each([
    'postgres://u:p@localhost/d',
    'postgres://u:p@127.0.0.1:5432/d',
    'postgres://u:p@127.1.2.3/d',
    'postgres://u:p@[::1]:5432/d',
    'postgres://u:p@%2Frun%2Fpostgresql:5432/d',
    'postgres://u:p@/d?host=/run/postgresql',
    'postgres://u:p@db.example.org/d?sslmode=disable',
    'postgres://u:p@db.example.org/d?ssl=0',
  ])('is not used for %s', (text) => {
    expect(parseDatabaseUrl(text).ssl).toBe(false);
  });

  it.each(['postgres:///d', 'postgres://u:p@/d', 'postgres:///d?host='])(
    'is not used for %s, which is this machine, whatever PGHOST is',
    (text) => {
      process.env.PGHOST = 'db.example.org';
      try {
        const { url, ssl } = parseDatabaseUrl(text);
        expect({ host: new pg.Client({ connectionString: url }).host, ssl }).toEqual({ host: 'localhost', ssl: false });
      } finally {
        delete process.env.PGHOST;
      }
    },
  );

  it('is not verified with no-verify only', () => {
    expect(parseDatabaseUrl('postgres://u:p@db/d?sslmode=no-verify').ssl).toEqual({
      rejectUnauthorized: false,
      host: 'db',
    });
  });

  it('verifies the name or the address of the URL, not one that it resolves to', () => {
    for (const [url, host] of [
      ['postgres://u:p@db.example.org/d', 'db.example.org'],
      ['postgres://u:p@[2001:db8::1]/d', '2001:db8::1'],
      ['postgres://u:p@10.0.0.5/d', '10.0.0.5'],
    ] as const)
      expect(parseDatabaseUrl(url).ssl).toMatchObject({ host });
  });

  it('reads the files that the URL names, and hides its parameters of TLS from the driver', () => {
    const file = encodeURIComponent(import.meta.filename);
    const { url, ssl } = parseDatabaseUrl(
      `postgres://u:p%40@db:5433/d?application_name=x&sslmode=verify-full&sslrootcert=${file}&sslcert=${file}&sslkey=${file}&sslnegotiation=postgres`,
    );
    expect(url).toBe('postgres://u:p%40@db:5433/d?application_name=x');
    const content = expect.stringContaining('hides its parameters of TLS');
    expect(ssl).toMatchObject({ rejectUnauthorized: true, ca: content, cert: content, key: content });
    expect(parseDatabaseUrl('postgres://db/d?sslrootcert=system').ssl).toEqual({
      rejectUnauthorized: true,
      host: 'db',
    });
  });

  it('rejects other modes and missing files on one line, without the password', () => {
    const rejection = (parameters: string): string => {
      try {
        parseDatabaseUrl(`postgres://u:secret@db/d?${parameters}`);
      } catch (error) {
        expect(error).toBeInstanceOf(StartupError);
        return (error as Error).message;
      }
      throw new Error('the URL was accepted');
    };
    expect(rejection('sslmode=full')).toBe(
      'sslmode of the database URL must be disable, no-verify or verify-full, not "full"',
    );
    expect(rejection('sslmode=')).toContain('not ""');
    expect(rejection('sslrootcert=/no/such/file')).toContain('sslrootcert of the database URL cannot be read: ENOENT');
    expect(rejection('sslrootcert=/no/such/file')).not.toContain('secret');
    expect(() => parseDatabaseUrl('postgres://u:secret@h:port/d')).toThrow(
      new StartupError('the database URL is not a valid URL'),
    );
    for (const part of ['%zz:secret@db/d', 'u:50%secret@db/d', 'u:secret@%zz/d', 'u:secret@db/%zz'])
      expect(() => parseDatabaseUrl(`postgres://${part}`, 'DATABASE_URL')).toThrow(
        new StartupError('DATABASE_URL is not a valid URL: write % as %25'),
      );
    expect(rejection('sslmode=require&sslnegotiation=direct')).toBe(
      'sslnegotiation=direct of the database URL is not supported; remove it',
    );
  });
});
