import { KeySecret } from '#access';
import { Config } from '#platform';
import { describe, expect, it } from '@jest/globals';
import { SecretUnreadableError, WebhookSecrets } from './webhook-secrets.js';

const OLD = 'o'.repeat(32);
const NEW = 'n'.repeat(32);
const PLACE = { projectId: 1, webhookId: '5' };
const SECRET = 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw';

const secretsOf = async (current: string, previous?: string): Promise<WebhookSecrets> => {
  const settings = { STOWAGE_KEY_SECRET: current, ...(previous && { STOWAGE_KEY_SECRET_PREVIOUS: previous }) };
  return new WebhookSecrets(await KeySecret.load(new Config(settings)));
};

describe('the stored secret of a webhook', () => {
  it('opens to the same text, reveals nothing, and differs each time', async () => {
    const secrets = await secretsOf(OLD);
    const stored = secrets.seal(PLACE, SECRET);
    expect(secrets.open(PLACE, stored)).toBe(SECRET);
    expect(stored).not.toContain('MfKQ9r8');
    expect(secrets.seal(PLACE, SECRET)).not.toBe(stored);
  });

  it('does not open for another webhook, with another key secret, or when it was changed', async () => {
    const secrets = await secretsOf(OLD);
    const stored = secrets.seal(PLACE, SECRET);
    const another = await secretsOf(NEW);
    for (const open of [
      () => secrets.open({ ...PLACE, webhookId: '6' }, stored),
      () => secrets.open({ ...PLACE, projectId: 2 }, stored),
      () => another.open(PLACE, stored),
      () => secrets.open(PLACE, `${stored.slice(0, -6)}AAAAAA`),
      () => secrets.open(PLACE, ''),
      () => secrets.open(PLACE, 'whsec'),
    ])
      expect(open).toThrow(SecretUnreadableError);
  });

  it('that does not open says whether the key secret is another one', async () => {
    const stored = (await secretsOf(OLD)).seal(PLACE, SECRET);
    const another = await secretsOf(NEW);
    expect(() => another.open(PLACE, stored)).toThrow('encrypted with another STOWAGE_KEY_SECRET');
    expect(() => another.open(PLACE, `${another.seal(PLACE, SECRET).slice(0, -6)}AAAAAA`)).toThrow(
      'cannot be decrypted',
    );
    expect(() => another.open(PLACE, 'damaged')).toThrow('cannot be decrypted');
  });

  it('of a version that did not encrypt secrets is read, and is recognized', async () => {
    const secrets = await secretsOf(OLD);
    expect(secrets.open(PLACE, SECRET)).toBe(SECRET);
    expect(secrets.outdatedPatterns).toEqual([String.raw`whsec\_%`]);
  });

  it('opens while the key secret is replaced, and is recognized as one of the previous key secret', async () => {
    const stored = (await secretsOf(OLD)).seal(PLACE, SECRET);
    const both = await secretsOf(NEW, OLD);
    expect(both.open(PLACE, stored)).toBe(SECRET);
    const [, pattern = ''] = both.outdatedPatterns;
    expect(both.outdatedPatterns).toHaveLength(2);
    expect(stored.startsWith(pattern.slice(0, -1))).toBe(true);
    expect(both.seal(PLACE, SECRET).startsWith(pattern.slice(0, -1))).toBe(false);
  });
});
