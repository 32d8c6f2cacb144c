import { describe, expect, it } from '@jest/globals';
import { rejectionOf, WITH_URL } from '../../../test/harness/config.js';
import { Config } from './config.js';

describe('an environment variable that is not a setting', () => {
  it.each(['STOWAGE_KEY_SECRETS', 'STOWAGE_X', 'PAGE_SIZES', 'PAGE_SIZE_MIN', 'DATABASE_POOL', 'JOB_CONCURRENCY_MAX'])(
    'is rejected if its name resembles a setting: %s',
    (name) => {
      expect(rejectionOf({ [name]: 'secret' })).toBe(`${name} is not a setting; .env.example lists the settings`);
    },
  );

  it('is rejected if a setting replaced it', () => {
    expect(rejectionOf({ TRUST_PROXY: 'true' })).toBe('TRUST_PROXY was replaced; set TRUSTED_PROXIES');
  });

  it('is ignored with any other name, and if it is empty', () => {
    const other = { PATH: '/bin', HOSTNAME: 'h', JOB_NAME: 'j', PAGER: 'less', DATABASE_HOST: 'd', WORKER_ID: '1' };
    const kubernetes = { STOWAGE_SERVICE_HOST: 'h', STOWAGE_SERVICE_PORT_HTTP: '80', STOWAGE_PORT: 'tcp://h:80' };
    const ofHosts = { DATABASE_URL_UNPOOLED: 'postgresql://h/d', STOWAGE_PORT_80_TCP_ADDR: 'h' };
    expect(() => new Config({ ...other, ...kubernetes, ...ofHosts, STOWAGE_X: '' })).not.toThrow();
  });
});

describe('the address of a database', () => {
  it.each(['DATABASE_URL', 'DATABASE_READ_URL'])('is one of PostgreSQL, and no error repeats it: %s', (name) => {
    expect(rejectionOf({ ...WITH_URL, [name]: 'mysql://u:secret@h/d' })).toBe(
      `${name} must be a postgresql:// address`,
    );
  });

  it('may have a replica only with DATABASE_URL', () => {
    const replica = { DATABASE_READ_URL: 'postgres://u:secret@replica/d' };
    expect(new Config({ ...WITH_URL, ...replica }).database.readUrl).toBe(replica.DATABASE_READ_URL);
    expect(rejectionOf(replica)).toBe(
      'DATABASE_READ_URL is the address of a replica of DATABASE_URL, which must be set too',
    );
  });
});

describe('the webhook of alerts', () => {
  const secretOf = (bytes: number): string => `whsec_${Buffer.alloc(bytes, 's').toString('base64')}`;
  const ALERT_WEBHOOK_SECRET = secretOf(32);

  it('is off by default, and has a URL and a secret', () => {
    expect(new Config({}).alerts.webhook).toBeNull();
    expect(new Config({ ALERT_WEBHOOK_SECRET }).alerts.webhook).toBeNull();
    for (const url of ['http://127.0.0.1:9/a?b=c', 'https://hooks.example.org/x']) {
      const { webhook } = new Config({ ALERT_WEBHOOK_URL: url, ALERT_WEBHOOK_SECRET }).alerts;
      expect(webhook).toEqual({ url, secret: ALERT_WEBHOOK_SECRET });
    }
  });

  it('needs a secret in the form of Standard Webhooks', () => {
    const url = { ALERT_WEBHOOK_URL: 'https://hooks.example.org' };
    const form = 'whsec_ and 24 to 64 bytes in base64';
    expect(rejectionOf(url)).toBe(`ALERT_WEBHOOK_SECRET is required with ALERT_WEBHOOK_URL: ${form}`);
    for (const bytes of [24, 64]) {
      const { webhook } = new Config({ ...url, ALERT_WEBHOOK_SECRET: secretOf(bytes) }).alerts;
      expect(webhook?.secret).toBe(secretOf(bytes));
    }
    for (const bad of [secretOf(23), secretOf(65), 's'.repeat(32), `whsec_${'='.repeat(40)}`, `${secretOf(32)}=`])
      expect(rejectionOf({ ...url, ALERT_WEBHOOK_SECRET: bad })).toBe(`ALERT_WEBHOOK_SECRET must be ${form}`);
  });

  it('rejects a URL that is not one of HTTP, without repeating it', () => {
    for (const url of ['hooks.example.org', 'ftp://h/secret', 'https://user:secret@h/', 'https://user@h/', 'http:'])
      expect(rejectionOf({ ALERT_WEBHOOK_URL: url, ALERT_WEBHOOK_SECRET })).toBe(
        'ALERT_WEBHOOK_URL must be an http:// or https:// URL without a user name',
      );
  });
});

it('TLS_CERT_FILE and TLS_KEY_FILE are set together', () => {
  const files = { TLS_CERT_FILE: '/c.pem', TLS_KEY_FILE: '/k.pem' };
  expect(new Config(files).http.tls).toEqual({ certFile: '/c.pem', keyFile: '/k.pem' });
  for (const name of ['TLS_CERT_FILE', 'TLS_KEY_FILE'] as const)
    expect(rejectionOf({ [name]: files[name] })).toBe('TLS_CERT_FILE and TLS_KEY_FILE must be set together');
});
