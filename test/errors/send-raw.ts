import { connect } from 'node:net';
import type { Reply } from '../harness/api.js';

/**
 * Sends raw bytes and reads one response.
 * @param endsEarly whether to close the client's side of the connection after the bytes
 */
export async function sendRaw(
  origin: string,
  bytes: string | Buffer,
  { endsEarly = false } = {},
): Promise<Omit<Reply, 'json'>> {
  const socket = connect({ port: Number(new URL(origin).port), host: '127.0.0.1', allowHalfOpen: true });
  const chunks: Buffer[] = [];
  await new Promise<void>((resolve, reject) => {
    socket.once('error', reject);
    socket.write(bytes, () => {
      resolve();
    });
  });
  if (endsEarly) socket.end();
  let reply = parseReply('');
  for await (const chunk of socket) {
    chunks.push(chunk as Buffer);
    reply = parseReply(Buffer.concat(chunks).toString('utf8'));
    if (Buffer.byteLength(reply.text) >= Number(reply.headers.get('content-length') ?? Infinity)) break;
  }
  socket.destroy();
  return reply;
}

function parseReply(reply: string): Omit<Reply, 'json'> {
  const [head = '', ...rest] = reply.split('\r\n\r\n');
  const [statusLine = '', ...lines] = head.split('\r\n');
  const headers = new Headers(
    lines.map((line): [string, string] => [line.slice(0, line.indexOf(':')), line.slice(line.indexOf(':') + 1).trim()]),
  );
  return { status: Number(statusLine.split(' ')[1]), headers, text: rest.join('\r\n\r\n') };
}
