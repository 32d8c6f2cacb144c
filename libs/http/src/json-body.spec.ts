import { describe, expect, it } from '@jest/globals';
import { JsonBody } from './json-body.js';

function rejectionOf(text: string): () => unknown {
  const body = new JsonBody(Buffer.from(text), 16 * 1024 * 1024);
  return () => body.read();
}

describe('a body that is not JSON', () => {
  it.each([
    ['NaN', 1, 1],
    ['{\n\n  "teeth": NaN}', 3, 12],
    ['\n\n', 3, 1],
    ['[1,]\n', 1, 4],
    ['{"a":"\n"}', 1, 7],
  ])('is rejected with the line and column of the error: %j', (text, line, column) => {
    const place = `line ${String(line)}, column ${String(column)}`;
    expect(rejectionOf(text)).toThrow(
      expect.objectContaining({ slug: 'malformed-request', message: `The body is not valid JSON at ${place}.` }),
    );
  });

  it('is rejected without line and column when it exceeds 2 MiB', () => {
    expect(rejectionOf(`[${'1,'.repeat(1_100_000)}]`)).toThrow(
      expect.objectContaining({ slug: 'malformed-request', message: 'The body is not valid JSON.' }),
    );
  });
});
