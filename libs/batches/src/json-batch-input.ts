import { endOfValue, findMember, skipSpace, type FoundMember } from '#json';
import { BODY_LIMITS, invalidJson, isSyntaxError, isValidDto, JsonBody, ValidationErrors, type JsonList } from '#http';
import { NewObjectDto } from '#objects';
import type { BatchChunk, BatchInput } from './batch-input.js';
import { batchObject, derivedId, parseBatchObject, type BatchObject, type ObjectPlace } from './batch-object.js';

const OBJECT_LIMIT = { bytes: BODY_LIMITS.object_limit_bytes, name: 'object_limit_bytes' };

/**
 * The objects of a JSON body. Each chunk is parsed while the one before it is being stored, which hides most of the time that
 * parsing takes. A chunk of plainly valid objects is parsed at once; any other object by object, with exact error messages.
 */
export class JsonBatchInput implements BatchInput {
  readonly source = 'memory';
  readonly pointerTo = (position: number): string => `/objects/${String(position)}`;

  /**
   * @param batchId the id of the batch, for objects without an id
   * @param batchErrors errors outside the list of objects; they are part of the first chunk
   */
  constructor(
    private readonly list: JsonList,
    private readonly batchId: string,
    private readonly batchErrors: ValidationErrors,
  ) {}

  /** @throws Problem malformed-request, too-large */
  *chunks(): Generator<BatchChunk> {
    const { chunks, body } = this.list;
    if (chunks.length === 0) yield { objects: [], errors: this.batchErrors, invalidObjects: 0, isLast: true };
    let position = 0;
    let expandedLength = 0;
    for (const [index, chunk] of chunks.entries()) {
      const text = this.list.textOf(chunk);
      const values = this.list.parse(text);
      const elements = this.split(text);
      const parsed =
        (values && this.plainObjects(text, elements, values, position)) ?? this.parseEach(text, elements, position);
      expandedLength += parsed.expandedLength;
      if (expandedLength > 0) body.requireExpandedLength(expandedLength);
      if (index === 0) parsed.errors.addAll(this.batchErrors);
      position += elements.length;
      yield { ...parsed, isLast: index === chunks.length - 1 };
    }
  }

  private parseEach(text: string, elements: readonly ChunkElement[], position: number): ParsedElements {
    const parsed: ParsedElements = {
      objects: [],
      errors: new ValidationErrors(),
      invalidObjects: 0,
      expandedLength: 0,
    };
    for (const [index, { start, end }] of elements.entries()) {
      const body = new JsonBody(Buffer.from(text.slice(start, end)), OBJECT_LIMIT);
      const object = parseBatchObject(body, this.placeOf(position + index), this.pointerTo, this.list.body);
      parsed.expandedLength += body.expandedLength;
      if (object instanceof ValidationErrors) {
        parsed.errors.addAll(object);
        parsed.invalidObjects++;
      } else {
        parsed.objects.push(object);
      }
    }
    return parsed;
  }

  private placeOf(position: number): ObjectPlace {
    return { position, batchId: this.batchId, index: position };
  }

  /** Null where an object is not valid. @param values the parsed elements */
  private plainObjects(
    text: string,
    elements: readonly ChunkElement[],
    values: readonly unknown[],
    first: number,
  ): ParsedElements | null {
    if (values.length !== elements.length) return null;
    const objects: BatchObject[] = [];
    // Not `entries()`, which allocates an array for each object.
    for (let index = 0; index < elements.length; index++) {
      const value = values[index];
      const data = elements[index]?.value;
      if (data === undefined || !isValidDto(NewObjectDto, value)) return null;
      const dto = value as NewObjectDto;
      const position = first + index;
      const objectId = dto.object_id ?? derivedId(this.batchId, position);
      if (objectId === null) return null;
      objects.push(batchObject(position, objectId, dto, text.slice(data.start, data.end)));
    }
    return { objects, errors: new ValidationErrors(), invalidObjects: 0, expandedLength: 0 };
  }

  /** @throws Problem malformed-request with the line and the column in the whole body */
  private split(text: string): ChunkElement[] {
    try {
      return splitChunk(text);
    } catch (error) {
      throw isSyntaxError(error) ? invalidJson(this.list.body.bytes, error) : error;
    }
  }
}

/** An element of a chunk, and the span of its `data`, which is undefined where it has none or is not an object. */
interface ChunkElement extends FoundMember {
  start: number;
}

interface ParsedElements extends Omit<BatchChunk, 'isLast'> {
  /** Number of characters that PostgreSQL writes for the numbers with an exponent. */
  expandedLength: number;
}

/** @param text the elements with the commas between them @throws SyntaxError */
function splitChunk(text: string): ChunkElement[] {
  const elements: ChunkElement[] = [];
  for (let i = 0; i < text.length;) {
    const start = i;
    const { value, end } =
      text.charCodeAt(start) === 123
        ? findMember(text, start, 'data')
        : { value: undefined, end: endOfValue(text, start) };
    elements.push({ start, value, end });
    i = skipSpace(text, end);
    if (i < text.length) i = skipSpace(text, i + 1);
  }
  return elements;
}
