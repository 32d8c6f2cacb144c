import { describe, expect, it } from '@jest/globals';
import { finished } from 'node:stream/promises';
import { StreamedBody, type BodySource, type ReadPace } from './streamed-body.js';

/** Limits that no test exceeds. */
const PATIENT: ReadPace = { graceMs: 60_000, bytesPerSecond: 1 };
const IMPATIENT: ReadPace = { graceMs: 1, bytesPerSecond: 1_000_000 };

class TestSource implements BodySource {
  closed = 0;
  private readonly chunks: (string | Error)[];

  constructor(...chunks: (string | Error)[]) {
    this.chunks = chunks;
  }

  next(): Promise<string | null> {
    const chunk = this.chunks.shift() ?? null;
    return chunk instanceof Error ? Promise.reject(chunk) : Promise.resolve(chunk);
  }

  close(): Promise<void> {
    this.closed++;
    return Promise.resolve();
  }
}

async function textOf(body: StreamedBody): Promise<string> {
  let text = '';
  for await (const chunk of body) text += String(chunk);
  return text;
}

describe('StreamedBody', () => {
  it('returns all chunks and closes its source', async () => {
    const source = new TestSource('[1', ',2', ']');
    expect(await textOf(new StreamedBody(source, PATIENT))).toBe('[1,2]');
    expect(source.closed).toBeGreaterThan(0);
  });

  it('closes its source when it has read the last chunk, before the client reads that chunk', async () => {
    const source = new TestSource('the only chunk');
    const body = new StreamedBody(source, PATIENT);
    const isReadable = new Promise((resolve) => body.once('readable', resolve));
    await isReadable;
    while (source.closed === 0) await new Promise(setImmediate);
    expect(body.destroyed).toBe(false);
    expect(await textOf(body)).toBe('the only chunk');
  });

  it.each(['before it is read', 'while a chunk is read'])('closes its source when destroyed %s', async (when) => {
    const source = new TestSource('a', 'b');
    const body = new StreamedBody(source, PATIENT);
    if (when === 'while a chunk is read') body.read();
    body.destroy();
    await new Promise((resolve) => body.once('close', resolve));
    expect(source.closed).toBe(1);
  });

  it('ends with the error of its source, and closes it', async () => {
    const source = new TestSource('a', new Error('of the source'));
    await expect(textOf(new StreamedBody(source, PATIENT))).rejects.toThrow('of the source');
    expect(source.closed).toBe(1);
  });

  it('is destroyed if it is not read in time', async () => {
    const source = new TestSource('a');
    const body = new StreamedBody(source, IMPATIENT);
    // There is no listener for its error, which would otherwise end the process.
    await new Promise((resolve) => body.once('close', resolve));
    expect(source.closed).toBe(1);
  });

  it('is destroyed when its reader stops reading', async () => {
    const source = new TestSource(...Array.from({ length: 100 }, () => 'x'.repeat(100_000)));
    const body = new StreamedBody(source, IMPATIENT);
    body.once('data', () => body.pause());
    await expect(finished(body)).rejects.toThrow('bytes per second');
    expect(source.closed).toBe(1);
  });
});
