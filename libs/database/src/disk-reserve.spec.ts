import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from '@jest/globals';
import { DiskReserve } from './disk-reserve.js';

let lines: string[] = [];
let reserve: DiskReserve | undefined;
afterEach(() => {
  reserve?.stop();
  lines = [];
});

async function start(path: string, reserveBytes: number): Promise<DiskReserve> {
  reserve = new DiskReserve({ path, reserveBytes, warn: (line) => void lines.push(line) });
  await reserve.start();
  return reserve;
}

describe('a disk reserve', () => {
  it('is low from the start if the disk has less free space', async () => {
    expect((await start(tmpdir(), Number.MAX_SAFE_INTEGER)).isLow).toBe(true);
    expect(lines).toEqual([
      expect.stringMatching(/^\d+ MiB are free .*: writes are rejected, and no jobs are started$/),
    ]);
  });

  it('is not low if the disk has more free space', async () => {
    expect((await start(tmpdir(), 1)).isLow).toBe(false);
    expect(lines).toEqual([]);
  });

  it('is not low if the free space is unknown, and reports that', async () => {
    const path = join(tmpdir(), 'missing', 'folder');
    expect((await start(path, Number.MAX_SAFE_INTEGER)).isLow).toBe(false);
    expect(lines).toEqual([expect.stringContaining(path)]);
  });

  it('of 0 bytes is never checked', async () => {
    expect((await start('/no/such/folder', 0)).isLow).toBe(false);
    expect(lines).toEqual([]);
  });
});
