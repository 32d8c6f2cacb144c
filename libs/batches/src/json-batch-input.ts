import { countNames, endOfValue, findMember, JSON_DEPTH_MAX, skipSpace, scanJson, type FoundMember } from '#json';
import { isValidDto, JsonBody, Problem, ValidationErrors } from '#http';
import { isShorthand, NewObjectDto } from '#objects';
import type { BatchChunk, BatchInput } from './batch-input.js';
import { batchObject, parseBatchObject, type BatchObject } from './batch-object.js';

/** A chunk ends after this many objects or characters: about a millisecond of work, so that other requests are served. */
const CHUNK_OBJECTS = 250;
const CHUNK_LENGTH = 256 * 1024;

export interface JsonBatchLimits {
  objectsMax: number;
  bodyLimitBytes: number;
}

/**
 * The objects of a JSON body. Each chunk is parsed while the one before it is being stored, which hides most of the time that
 * parsing takes. A chunk of plainly valid objects is parsed at once; any other object by object, with exact error messages.
 */
export class JsonBatchInput implements BatchInput {
  readonly source = 'memory';
  readonly pointerTo = (position: number): string => `/objects/${String(position)}`;

  /**
   * @param text the body
   * @param listStart index of the bracket that opens the list of objects
   * @param batchErrors errors outside the list of objects; they are part of the first chunk
   */
  constructor(
    private readonly body: JsonBody,
    private readonly text: string,
    private readonly listStart: number,
    private readonly batchErrors: ValidationErrors,
    private readonly limits: JsonBatchLimits,
  ) {}

  *chunks(): Generator<BatchChunk> {
    let position = 0;
    let expandedLength = 0;
    let at = this.listStart;
    for (let isLast = false; !isLast;) {
      const next = this.orMalformed(() => this.nextElements(at));
      if (position + next.elements.length > this.limits.objectsMax) throw this.tooManyObjects(position, next);
      const parsed = this.orMalformed(() => this.parsePlain(next, position)) ?? this.parseEach(next, position);
      expandedLength += parsed.expandedLength;
      if (expandedLength > 0) this.requireExpandedLength(expandedLength);
      if (position === 0) parsed.errors.addAll(this.batchErrors);
      ({ end: at, isLast } = next);
      position += next.elements.length;
      yield { ...parsed, isLast };
    }
  }

  /** The next elements of the list. @param at index of the bracket or comma before them @throws SyntaxError */
  private nextElements(at: number): ListElements {
    const starts: number[] = [];
    const elements: FoundMember[] = [];
    let i = skipSpace(this.text, at + 1);
    if (at === this.listStart && this.text.charAt(i) === ']') return { starts, elements, end: i, isLast: true };
    const start = i;
    for (;;) {
      const element = this.elementAt(i);
      starts.push(i);
      elements.push(element);
      const end = skipSpace(this.text, element.end);
      const isLast = this.text.charAt(end) === ']';
      if (!isLast && this.text.charAt(end) !== ',') throw new SyntaxError('no comma after an element');
      if (isLast || elements.length === CHUNK_OBJECTS || end - start > CHUNK_LENGTH) {
        return { starts, elements, end, isLast };
      }
      i = skipSpace(this.text, end + 1);
    }
  }

  private elementAt(start: number): FoundMember {
    if (this.text.charAt(start) === '{') return findMember(this.text, start, 'data');
    return { value: undefined, end: endOfValue(this.text, start) };
  }

  /** Null where an object is not valid, or JavaScript would lose a name, a digit or a character of it. @throws SyntaxError */
  private parsePlain({ starts, elements }: ListElements, position: number): ParsedElements | null {
    const text = `[${this.text.slice(starts[0] ?? 0, elements.at(-1)?.end ?? 0)}]`;
    const { names, depth, needsInspection: suspect } = scanJson(text);
    if (depth > JSON_DEPTH_MAX) return null;
    const values = JSON.parse(text) as NewObjectDto[];
    if (suspect || countNames(values) !== names) return null;
    const objects: BatchObject[] = [];
    // Not `entries()`, which allocates an array for each object.
    for (let index = 0; index < elements.length; index++) {
      const dto = values[index];
      const data = elements[index]?.value;
      if (dto === undefined || data === undefined || !isValidDto(NewObjectDto, dto)) return null;
      objects.push(batchObject(position + index, dto, this.text.slice(data.start, data.end)));
    }
    return { objects, errors: new ValidationErrors(), invalidObjects: 0, expandedLength: 0 };
  }

  private parseEach({ starts, elements }: ListElements, position: number): ParsedElements {
    const parsed: ParsedElements = {
      objects: [],
      errors: new ValidationErrors(),
      invalidObjects: 0,
      expandedLength: 0,
    };
    for (const [index, { end }] of elements.entries()) {
      // The limit applies to the whole body, not to one object.
      const body = new JsonBody(Buffer.from(this.text.slice(starts[index], end)), Infinity);
      const object = parseBatchObject(body, position + index, this.pointerTo);
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

  /** Turns a syntax error of a part into the problem of the whole body, which has the line and the column. */
  private orMalformed<T>(parse: () => T): T {
    try {
      return parse();
    } catch (error) {
      // Not `instanceof`: the errors of JSON.parse may belong to another realm.
      if ((error as Error).name !== 'SyntaxError') throw error;
      this.body.read(isShorthand);
      throw error;
    }
  }

  private tooManyObjects(position: number, next: ListElements): Problem {
    let count = position + next.elements.length;
    while (!next.isLast) {
      next = this.orMalformed(() => this.nextElements(next.end));
      count += next.elements.length;
    }
    const limit = `BATCH_OBJECTS_MAX is ${String(this.limits.objectsMax)}, see /api/v1/limits`;
    return new Problem('too-large', { detail: `The batch has ${String(count)} objects; ${limit}.` });
  }

  /** @throws Problem too-large where numbers with an exponent, such as 1e9999, would take too much space */
  private requireExpandedLength(expandedLength: number): void {
    const limit = this.limits.bodyLimitBytes;
    if (this.body.bytes.length + expandedLength <= limit) return;
    throw new Problem('too-large', {
      detail: `With the exponents of its numbers written out, the body exceeds BODY_LIMIT_BYTES, ${String(limit)} bytes; see /api/v1/limits.`,
    });
  }
}

/** Consecutive elements of the list. */
interface ListElements {
  starts: number[];
  /** The end of each element and the span of its `data`, which is undefined where it has none or is not an object. */
  elements: FoundMember[];
  /** Index of the comma or bracket after them. */
  end: number;
  isLast: boolean;
}

interface ParsedElements extends Omit<BatchChunk, 'isLast'> {
  /** Number of characters that PostgreSQL writes for the numbers with an exponent. */
  expandedLength: number;
}
