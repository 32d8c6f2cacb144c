import { countNames, endOfStringBytes, endOfValueBytes, scanJson, skipSpaceBytes, TOO_LONG } from '#json';
import { nextTurn } from '#platform';
import { hasSyntaxError, invalidJson, isSyntaxError, JsonBody, MalformedJson, tooComplex } from './json-body.js';
import { Problem } from './problems.js';
import { BODY_LIMITS } from './route.js';

/** Bytes that are scanned without a yield to the event loop: about a millisecond. */
const SLICE_BYTES = 512 * 1024;
/** A chunk ends after this many elements or bytes: about a millisecond of parsing. */
const CHUNK_ELEMENTS = 250;
const CHUNK_BYTES = 256 * 1024;
/** A body of this size may be parsed at once, whatever it is. So may each element of a larger body. */
const WHOLE_BYTES_MAX = BODY_LIMITS.object_limit_bytes;
/** The longest part of a larger body outside its list: a few short members, and white space. */
const REST_BYTES_MAX = BODY_LIMITS.management_limit_bytes;

const OPEN_LIST = 91;
const CLOSE_LIST = 93;
const OPEN_OBJECT = 123;
const CLOSE_OBJECT = 125;
const COMMA = 44;

/** Consecutive elements of a list, with the commas between them. */
export interface ListChunk {
  /** Index of the first byte of the first element. */
  start: number;
  /** Index after the last byte of the last element. */
  end: number;
}

/** The list of a body, not parsed yet. Its elements and brackets are in order; its values may be invalid. */
export class JsonList {
  constructor(
    /** The body, which is valid UTF-8. */
    readonly body: JsonBody,
    private readonly found: FoundList,
  ) {}

  /** The number of elements. */
  get count(): number {
    return this.found.count;
  }

  get chunks(): readonly ListChunk[] {
    return this.found.chunks;
  }

  textOf({ start, end }: ListChunk): string {
    return this.body.bytes.toString('utf8', start, end);
  }

  /**
   * Parses the elements of a chunk at once.
   * @param chunkText the elements with the commas between them
   * @returns null where JavaScript would lose a name, a digit or a character, and for a chunk with too many values; then each
   *   element has to be read on its own
   * @throws Problem malformed-request
   */
  parse(chunkText: string): unknown[] | null {
    const text = `[${chunkText}]`;
    const scan = scanJson(text);
    if (tooComplex(scan) !== null) return null;
    let values: unknown[];
    try {
      values = JSON.parse(text) as unknown[];
    } catch (error) {
      throw invalidJson(this.body.bytes, error);
    }
    return scan.needsInspection || countNames(values) !== scan.names ? null : values;
  }

  /** The body with an empty list in place of this one. */
  get rest(): JsonBody {
    const { start, end } = this.found;
    const { bytes } = this.body;
    const rest = Buffer.concat([bytes.subarray(0, start), Buffer.from('[]'), bytes.subarray(end)]);
    return new JsonBody(rest, this.body.limit);
  }
}

/** How many elements a list may have. */
export interface ListLimit {
  max: number;
  /** The setting, or the member of /api/v1/limits. */
  name: string;
  /** The plural of the elements' name, for the error. */
  plural: string;
}

interface FoundList {
  /** Index of the bracket that opens it. */
  start: number;
  /** Index after the bracket that closes it. */
  end: number;
  count: number;
  chunks: ListChunk[];
}

/**
 * Finds the list of a body without parsing it, so that it can be parsed in chunks. A body of any size is scanned with yields to
 * the event loop, and no part of it that is parsed at once is large.
 * @param member the name of the member of the body that is the list; null for a body that is a list itself
 * @param limit the search ends at the first element beyond it
 * @returns the list; where it is a member, the caller has to parse its `rest`. Null where the body has no such list; it is then
 *   small enough to be read whole
 * @throws Problem malformed-request; too-large for too many elements, for an element over object_limit_bytes, and for a body that
 *   is large without a list
 */
export async function findList(body: JsonBody, member: string | null, limit: ListLimit): Promise<JsonList | null> {
  const { bytes } = body;
  body.requireUtf8();
  try {
    const scanner = new ListScanner(body, member, limit);
    const found = await scanner.find();
    if (found !== null) {
      scanner.requireShortRest(bytes.length - (found.end - found.start));
      if (member === null) scanner.requireEnd(found.end);
      return new JsonList(body, found);
    }
    scanner.requireShortRest(bytes.length);
    return null;
  } catch (error) {
    // A part may also be long because a quote or a bracket is missing.
    if (isSyntaxError(error) || (error instanceof Problem && hasSyntaxError(bytes))) throw invalidJson(bytes, error);
    throw error;
  }
}

/** Every method may throw a SyntaxError, and a Problem for a part that is too long. */
class ListScanner {
  private readonly bytes: Buffer;
  private readonly projectId: number | null;
  private readonly restMax: number;

  constructor(
    { bytes, projectId }: JsonBody,
    private readonly member: string | null,
    private readonly limit: ListLimit,
  ) {
    this.bytes = bytes;
    this.projectId = projectId;
    this.restMax = bytes.length <= WHOLE_BYTES_MAX ? bytes.length : REST_BYTES_MAX;
  }

  find(): Promise<FoundList | null> {
    return this.member === null ? this.scanElements(this.skip(0), '') : this.findMember(this.member);
  }

  /** The last member of this name, if it is a list. */
  private async findMember(wanted: string): Promise<FoundList | null> {
    const { bytes } = this;
    const start = this.skip(0);
    if (bytes[start] !== OPEN_OBJECT) return null;
    let found: FoundList | null = null;
    let i = this.skip(start + 1);
    while (bytes[i] !== CLOSE_OBJECT) {
      const nameEnd = endOfStringBytes(bytes, i, this.restMax);
      if (nameEnd === TOO_LONG) throw restTooLarge(this.member);
      const valueStart = this.skip(this.skip(nameEnd) + 1);
      const isWanted = isName(bytes.toString('utf8', i, nameEnd), wanted);
      if (isWanted) found = await this.scanElements(valueStart, `/${wanted}`);
      const end = isWanted && found !== null ? found.end : endOfValueBytes(bytes, valueStart, this.restMax);
      if (end === TOO_LONG) throw restTooLarge(this.member);
      // The first of two lists of this name is a part of the rest, where it is an error.
      this.requireShortRest(end - start - (found === null ? 0 : found.end - found.start));
      i = this.skip(end);
      if (bytes[i] === COMMA) i = this.skip(i + 1);
      else if (bytes[i] !== CLOSE_OBJECT) throw new SyntaxError('no comma after a member');
    }
    return found;
  }

  /** @param restBytes the length of the body without its list */
  requireShortRest(restBytes: number): void {
    if (restBytes > this.restMax) throw restTooLarge(this.member);
  }

  /** Only white space may follow a list that is the whole body, of which nothing else is parsed. */
  requireEnd(i: number): void {
    if (this.skip(i) !== this.bytes.length) throw new SyntaxError('a value after the list');
  }

  /**
   * The list that starts at `start`, if there is one.
   * @param pointer JSON Pointer to the list
   */
  private async scanElements(start: number, pointer: string): Promise<FoundList | null> {
    const { bytes } = this;
    if (bytes[start] !== OPEN_LIST) return null;
    const chunks: ListChunk[] = [];
    let count = 0;
    let i = this.skip(start + 1);
    if (bytes[i] === CLOSE_LIST) return { start, end: i + 1, count, chunks };
    let yieldAt = start + SLICE_BYTES;
    let chunkStart = i;
    let elements = 0;
    for (;;) {
      if (count === this.limit.max) throw tooManyElements(this.limit);
      const end = endOfValueBytes(bytes, i, WHOLE_BYTES_MAX);
      if (end === TOO_LONG) {
        throw new Problem('too-large', {
          detail: `${pointer}/${String(count)} exceeds object_limit_bytes, ${String(WHOLE_BYTES_MAX)} bytes; see /api/v1/limits.`,
        });
      }
      count++;
      elements++;
      i = this.skip(end);
      const isLast = bytes[i] === CLOSE_LIST;
      if (!isLast && bytes[i] !== COMMA) throw new SyntaxError('no comma after an element');
      const isChunkEnd = isLast || elements === CHUNK_ELEMENTS || end - chunkStart >= CHUNK_BYTES;
      if (isChunkEnd) chunks.push({ start: chunkStart, end });
      if (isLast) return { start, end: i + 1, count, chunks };
      i = this.skip(i + 1);
      if (isChunkEnd) {
        chunkStart = i;
        elements = 0;
      }
      if (i > yieldAt) {
        await nextTurn(this.projectId);
        yieldAt = i + SLICE_BYTES;
      }
    }
  }

  private skip(i: number): number {
    const end = skipSpaceBytes(this.bytes, i, Math.min(this.bytes.length, i + this.restMax));
    if (end - i < this.restMax || this.restMax === this.bytes.length) return end;
    throw new MalformedJson(`has more than ${String(this.restMax)} characters of white space in a row`);
  }
}

function isName(token: string, name: string): boolean {
  if (token.length === name.length + 2) return token === `"${name}"`;
  return token.length > name.length && token.includes('\\') && JSON.parse(token) === name;
}

function tooManyElements({ max, name, plural }: ListLimit): Problem {
  return new Problem('too-large', {
    detail: `The list has more than ${String(max)} ${plural}, the maximum (${name}, see /api/v1/limits).`,
  });
}

function restTooLarge(member: string | null): Problem {
  const list = member === null ? 'its list' : `its list "${member}"`;
  const limit = `object_limit_bytes, ${String(WHOLE_BYTES_MAX)} bytes`;
  return new Problem('too-large', {
    detail: `A body over ${limit}, may have at most ${String(REST_BYTES_MAX)} bytes outside of ${list}; see /api/v1/limits.`,
  });
}
