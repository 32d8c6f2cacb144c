import { describe, expect, it } from '@jest/globals';
import { LoadMeter, type LoadCounters, type LoadFigures } from './load-meter.js';

const MB = 1e6;

interface ActiveFile {
  sizeBytes: number | undefined;
  bytesRead: number;
  objectsRead: number;
}

function countersOf(active: ActiveFile[], other: Partial<LoadCounters> = {}): LoadCounters {
  return {
    files: active.length,
    filesDone: 0,
    bytesTotal: active.reduce((sum, { sizeBytes }) => sum + (sizeBytes ?? 0), 0),
    filesOfUnknownSize: active.filter(({ sizeBytes }) => sizeBytes === undefined).length,
    bytesDone: 0,
    unsizedBytesDone: 0,
    objectsDone: 0,
    objectsReadDone: 0,
    active: new Set(active),
    ...other,
  };
}

/** Samples once per second while the counters change. @returns the last figures */
function run(counters: LoadCounters, seconds: number, change: (second: number) => void): LoadFigures {
  const meter = new LoadMeter(counters, 0, 'stored');
  let figures = meter.sample(0);
  for (let second = 1; second <= seconds; second++) {
    change(second);
    figures = meter.sample(second * 1_000);
  }
  return figures;
}

describe('LoadMeter', () => {
  it('shows the bytes read and the objects sent of a single file before the server responds', () => {
    const file = { sizeBytes: 100 * MB, bytesRead: 0, objectsRead: 0 };
    const figures = run(countersOf([file]), 10, () => {
      file.bytesRead += 2 * MB;
      file.objectsRead += 10_000;
    });
    expect(figures).toEqual({
      fraction: 0.2,
      bytes: '20.0 of 100.0 MB',
      objects: '0 objects stored, 100,000 sent',
      rate: '10,000 objects/s',
      left: '40 s left',
      files: '0 of 1 files',
    });
  });

  it('shows no rate and no remaining time in the first 2 seconds', () => {
    const file = { sizeBytes: 100 * MB, bytesRead: 0, objectsRead: 0 };
    const read = (): void => {
      file.bytesRead += MB;
    };
    expect(run(countersOf([file]), 2, read)).toMatchObject({ rate: 'rate unknown', left: 'time left unknown' });
  });

  it('ignores the bytes of the first second, which fill buffers', () => {
    const file = { sizeBytes: 101 * MB, bytesRead: 0, objectsRead: 0 };
    const figures = run(countersOf([file]), 4, (second) => {
      file.bytesRead += second === 1 ? 50 * MB : MB;
    });
    expect(figures).toMatchObject({ rate: '1.0 MB/s', left: '48 s left' });
  });

  it('follows the speed of the last 10 seconds', () => {
    const file = { sizeBytes: 1_000 * MB, bytesRead: 0, objectsRead: 0 };
    const figures = run(countersOf([file]), 40, (second) => {
      file.bytesRead += second <= 20 ? 40 * MB : MB;
    });
    expect(figures).toMatchObject({ bytes: '0.82 of 1.00 GB', left: '3 min 0 s left' });
  });

  it('shows an unknown remaining time for a stalled load', () => {
    const file = { sizeBytes: 100 * MB, bytesRead: 50 * MB, objectsRead: 1 };
    expect(run(countersOf([file]), 20, () => undefined)).toMatchObject({
      rate: '0 objects/s',
      left: 'time left unknown',
    });
  });

  it('shows that it waits for the server when all files are read', () => {
    const file = { sizeBytes: MB, bytesRead: MB, objectsRead: 5 };
    expect(run(countersOf([file]), 5, () => undefined)).toMatchObject({ fraction: 1, left: 'waiting for the server' });
  });

  it('shows no percentage and no remaining time when the size of a file is unknown', () => {
    const file = { sizeBytes: undefined, bytesRead: 0, objectsRead: 0 };
    const figures = run(countersOf([file]), 10, () => {
      file.bytesRead += MB;
    });
    expect(figures).toMatchObject({
      fraction: undefined,
      bytes: '10.0 MB read',
      rate: '1.0 MB/s',
      left: 'time left unknown',
    });
  });

  it('restarts the measurement when a file is sent again', () => {
    const file = { sizeBytes: 100 * MB, bytesRead: 0, objectsRead: 0 };
    const figures = run(countersOf([file]), 10, (second) => {
      file.bytesRead = second <= 5 ? second * 10 * MB : (second - 6) * MB;
    });
    expect(figures).toMatchObject({ bytes: '4.0 of 100.0 MB', rate: '1.0 MB/s', left: '1 min 36 s left' });
  });

  it('shows the average rate when the load is complete, for any duration', () => {
    const counters = countersOf([], { files: 1, bytesTotal: MB });
    const figures = run(counters, 1, () => {
      counters.filesDone = 1;
      counters.bytesDone = MB;
      counters.objectsDone = 300;
      counters.objectsReadDone = 300;
    });
    expect(figures).toMatchObject({ fraction: 1, rate: '300 objects/s', left: 'done' });
  });

  it('counts the confirmed bytes of many small files', () => {
    const counters = countersOf([], { files: 100, bytesTotal: 100 * MB });
    const figures = run(counters, 10, () => {
      counters.filesDone += 2;
      counters.bytesDone += 2 * MB;
      counters.objectsDone += 500;
      counters.objectsReadDone += 500;
    });
    expect(figures).toEqual({
      fraction: 0.2,
      bytes: '20.0 of 100.0 MB',
      objects: '5,000 objects stored',
      rate: '500 objects/s',
      left: '40 s left',
      files: '20 of 100 files',
    });
  });
});
