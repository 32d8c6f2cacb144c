import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Config } from '#platform';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { KeySecret } from './key-secret.js';

const [SECRET, OTHER] = ['s'.repeat(32), 'o'.repeat(32)];

let dataDir: string;
beforeEach(async () => {
  dataDir = await mkdtemp(join(tmpdir(), 'stowage-secret-'));
});
afterEach(() => rm(dataDir, { recursive: true }));

function config(settings: Record<string, string> = {}): Config {
  return new Config({ STOWAGE_DATA_DIR: dataDir, ...settings });
}

describe('the key secret', () => {
  it('is that of the settings, with the previous one', async () => {
    const secret = await KeySecret.load(config({ STOWAGE_KEY_SECRET: SECRET, STOWAGE_KEY_SECRET_PREVIOUS: OTHER }));
    expect(secret).toMatchObject({ value: SECRET, previous: [OTHER], accepted: [SECRET, OTHER] });
    expect(await readdir(dataDir)).toEqual([]);
  });

  it('has no previous one that equals it', async () => {
    const secret = await KeySecret.load(config({ STOWAGE_KEY_SECRET: SECRET, STOWAGE_KEY_SECRET_PREVIOUS: SECRET }));
    expect(secret.accepted).toEqual([SECRET]);
  });

  it('has an id that differs between secrets and is no part of them', async () => {
    const ids = await Promise.all(
      [SECRET, SECRET, OTHER].map(async (value) => (await KeySecret.load(config({ STOWAGE_KEY_SECRET: value }))).id),
    );
    expect(ids[0]).toBe(ids[1]);
    expect(ids[0]).not.toBe(ids[2]);
    expect(ids[0]).toMatch(/^[0-9a-f]{16}$/);
  });
});

describe('rotating the key secret of the data dir', () => {
  it('creates a new one and keeps the other as the previous one', async () => {
    const { value } = await KeySecret.load(config());
    expect(await KeySecret.rotate(config())).toBe(join(dataDir, 'key-secret-previous'));
    const rotated = await KeySecret.load(config());
    expect(rotated).toMatchObject({ previous: [value] });
    expect(rotated.value).toMatch(/^[0-9a-f]{64}$/);
    expect(rotated.value).not.toBe(value);
    expect(await readdir(dataDir)).toEqual(['key-secret', 'key-secret-previous']);
  });

  it('is rejected while a previous secret exists, which would be lost', async () => {
    await KeySecret.load(config());
    await KeySecret.rotate(config());
    const before = await readFile(join(dataDir, 'key-secret'));
    await expect(KeySecret.rotate(config())).rejects.toThrow('a rotation is in progress');
    expect(await readFile(join(dataDir, 'key-secret'))).toEqual(before);
  });

  it('can be repeated after a crash that left both files with the same secret', async () => {
    const { value } = await KeySecret.load(config());
    await writeFile(join(dataDir, 'key-secret-previous'), value);
    expect((await KeySecret.load(config())).previous).toEqual([]);
    await KeySecret.rotate(config());
    expect((await KeySecret.load(config())).previous).toEqual([value]);
  });

  it('is rejected where there is none, or where it is a setting', async () => {
    await expect(KeySecret.rotate(config())).rejects.toThrow('start the server first');
    await expect(KeySecret.rotate(config({ STOWAGE_KEY_SECRET: SECRET }))).rejects.toThrow('is a setting');
    expect(await readdir(dataDir)).toEqual([]);
  });
});
