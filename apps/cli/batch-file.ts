import { NotABatchError, SourceError } from './batch-source.js';

/** A batch file's content, to be sent as it is: what is parsed and written again loses digits. */
export interface BatchFile {
  bytes: Buffer;
  objectCount: number;
}

const BYTE_ORDER_MARK = Buffer.from([0xef, 0xbb, 0xbf]);

/** Looks whether this is a batch, and how large; what is in it is the server's to judge. @throws SourceError */
export function openBatchFile(content: Buffer): BatchFile {
  // Some editors put it first; JSON on the wire must not have one (RFC 8259, section 8.1).
  const bytes = content.subarray(0, 3).equals(BYTE_ORDER_MARK) ? content.subarray(3) : content;
  const value = parse(bytes);
  const { batch_id, objects } = (value ?? {}) as { batch_id?: unknown; objects?: unknown };
  if (Array.isArray(objects)) return { bytes, objectCount: objects.length };
  const detail = 'is not a batch: {"batch_id": …, "objects": […]}';
  // With one of the two it was meant to be one.
  throw batch_id === undefined && objects === undefined ? new NotABatchError(detail) : new SourceError(detail);
}

function parse(bytes: Buffer): unknown {
  let text: string;
  try {
    text = bytes.toString('utf8');
  } catch {
    // Node.js ends at half a gigabyte of text, far over what a server takes in one body.
    throw new SourceError('is too large to be one batch');
  }
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new SourceError(`is not JSON: ${(error as Error).message}`);
  }
}
