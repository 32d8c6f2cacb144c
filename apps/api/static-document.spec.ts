import { expect, it } from '@jest/globals';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { StaticDocument } from './static-document.js';

const REQUEST = { headers: {} } as FastifyRequest;

/** Returns the bytes that the document sends. */
async function bytesOf(document: StaticDocument): Promise<string> {
  let sent = '';
  const reply = {
    header: () => reply,
    getHeader: () => undefined,
    headers: () => reply,
    type: () => reply,
    send: (bytes: Buffer) => {
      sent = bytes.toString();
      return reply;
    },
  } as unknown as FastifyReply;
  await document.send(REQUEST, reply);
  return sent;
}

it('is built once, also for concurrent requests', async () => {
  let builds = 0;
  const document = new StaticDocument('text/plain', async () => Promise.resolve(`build ${String(++builds)}`));
  expect(await Promise.all([bytesOf(document), bytesOf(document)])).toEqual(['build 1', 'build 1']);
  expect(await bytesOf(document)).toBe('build 1');
});

it('is built again after a failure', async () => {
  let builds = 0;
  const document = new StaticDocument('text/plain', () => {
    if (++builds === 1) throw new Error('no file descriptor is left');
    return 'text';
  });
  await expect(bytesOf(document)).rejects.toThrow('no file descriptor');
  expect(await bytesOf(document)).toBe('text');
});
