import { Problem } from './problems.js';

const BYTE_ORDER_MARK = Buffer.from([0xef, 0xbb, 0xbf]);
/** The first bytes of compressed data (RFC 1952, section 2.3.1; RFC 8878, section 3.1.1). */
const SIGNATURES = [
  { encoding: 'gzip', bytes: Buffer.from([0x1f, 0x8b]) },
  { encoding: 'zstd', bytes: Buffer.from([0x28, 0xb5, 0x2f, 0xfd]) },
];
const START_LENGTH_MAX = 4;

/**
 * The bytes of a body without a byte order mark.
 * @param bytes the body, or its first four bytes or more
 * @throws Problem malformed-request for a compressed body that Content-Encoding does not declare
 */
export function plainBytes(bytes: Buffer): Buffer {
  const compressed = SIGNATURES.find((signature) => startsWith(bytes, signature.bytes));
  if (compressed !== undefined) {
    const { encoding } = compressed;
    throw new Problem('malformed-request', {
      detail: `The body is compressed with ${encoding}; send it with Content-Encoding: ${encoding}.`,
    });
  }
  return startsWith(bytes, BYTE_ORDER_MARK) ? bytes.subarray(BYTE_ORDER_MARK.length) : bytes;
}

/** The same for a body that arrives in chunks. */
export async function* plainStream(chunks: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  let start: Buffer | undefined = Buffer.alloc(0);
  for await (const chunk of chunks) {
    if (start === undefined) {
      yield chunk;
      continue;
    }
    start = start.length === 0 ? chunk : Buffer.concat([start, chunk]);
    if (start.length < START_LENGTH_MAX) continue;
    yield plainBytes(start);
    start = undefined;
  }
  if (start !== undefined && start.length > 0) yield plainBytes(start);
}

function startsWith(bytes: Buffer, start: Buffer): boolean {
  return bytes.subarray(0, start.length).equals(start);
}
