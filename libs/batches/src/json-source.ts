import { countNames, findMember, JSON_DEPTH_MAX, skipSpace, surveyJson, type JsonSpan } from '#json';
import { JsonBody, Problem } from '#http';
import { BadInput, errorsOf, objectPointer, Rejected, type BatchSource, type CheckedObject } from './batch-source.js';
import { newObjectRow } from '#objects';
import type { NewObjectDto } from '#objects';
import { listOfPairs } from '#store';

/** A millisecond's work: the database stores one chunk while the next is read, and other requests are served in between. */
const CHUNK_OBJECTS = 250;

/** The objects of a JSON body, checked already; each time it is read anew, so that a lost transaction can be done again. */
export class JsonSource implements BatchSource {
  readonly reading = 'again';
  readonly pointerOf = objectPointer;
  readonly rejected = new Rejected();

  /** @param start where the list of objects begins in the text; `objects` are its elements, parsed */
  constructor(
    private readonly text: string,
    private readonly start: number,
    private readonly objects: readonly NewObjectDto[],
  ) {}

  get count(): number {
    return this.objects.length;
  }

  *chunks(): Generator<CheckedObject[]> {
    let chunk: CheckedObject[] = [];
    let i = this.start;
    for (const [place, object] of this.objects.entries()) {
      i = nextElement(this.text, i);
      const { value: span, end } = findMember(this.text, i, 'data');
      if (span === undefined) throw new Error('an object without data passed the schema that requires it');
      const data = this.text.slice(span.start, span.end);
      chunk.push({ place, ...newObjectRow(object, listOfPairs(data)) });
      if (chunk.length === CHUNK_OBJECTS) {
        yield chunk;
        chunk = [];
      }
      i = end;
    }
    if (chunk.length > 0) yield chunk;
  }
}

interface EagerOptions {
  /** The most objects that a batch may have. */
  max: number;
  /** Whether every one of these is a good object. */
  accepts: (objects: readonly unknown[]) => objects is NewObjectDto[];
  /** The same batch read the other way. @throws Problem saying all that is wrong with it */
  strictly: () => JsonSource;
}

/**
 * The objects of a large JSON body, checked while the first of them are being stored: that hides most of the time that it
 * takes to read them. It knows only what is plainly good; where something is not, the whole is read again the other way.
 */
export class EagerJsonSource implements BatchSource {
  readonly reading = 'again';
  readonly pointerOf = objectPointer;
  readonly count = undefined;
  readonly rejected = new Rejected();

  /** @param start where the list of objects begins */
  constructor(
    private readonly text: string,
    private readonly start: number,
    private readonly options: EagerOptions,
  ) {}

  *chunks(): Generator<CheckedObject[]> {
    let place = 0;
    for (let i: number | undefined = this.start; i !== undefined;) {
      const found = this.tryRead(i, place);
      if (found === undefined || place + found.chunk.length > this.options.max) {
        throw new BadInput(this.options.strictly);
      }
      yield found.chunk;
      place += found.chunk.length;
      i = found.next;
    }
  }

  /** Text that is no JSON leads nowhere, in a way that `read` need not know. */
  private tryRead(i: number, place: number): ReturnType<typeof this.read> {
    try {
      return this.read(i, place);
    } catch (error) {
      if ((error as Error).name === 'SyntaxError') return undefined;
      throw error;
    }
  }

  /** The objects after the bracket or comma at `i`, and where the next ones are; undefined for what is not plainly good. */
  private read(i: number, place: number): { chunk: CheckedObject[]; next: number | undefined } | undefined {
    const spans: JsonSpan[] = [];
    let at = skipSpace(this.text, i + 1);
    const begin = at;
    for (;;) {
      if (this.text.charAt(at) !== '{') return undefined;
      const { value, end } = findMember(this.text, at, 'data');
      if (value === undefined) return undefined;
      spans.push(value);
      const after = skipSpace(this.text, end);
      const isLast = this.text.charAt(after) === ']';
      if (!isLast && this.text.charAt(after) !== ',') return undefined;
      if (!isLast && spans.length < CHUNK_OBJECTS) {
        at = skipSpace(this.text, after + 1);
        continue;
      }
      const objects = plainList(`[${this.text.slice(begin, end)}]`);
      if (objects?.length !== spans.length || !this.options.accepts(objects)) return undefined;
      const chunk = objects.map((object, index) => {
        const { start, end } = spans[index] as JsonSpan;
        return { place: place + index, ...newObjectRow(object, listOfPairs(this.text.slice(start, end))) };
      });
      return { chunk, next: isLast ? undefined : after };
    }
  }
}

/** A list that JavaScript reads as it is; undefined for any other text, and where a name, a digit or a character may be lost. */
function plainList(text: string): unknown[] | undefined {
  const { names, depth, suspect } = surveyJson(text);
  if (suspect || depth > JSON_DEPTH_MAX) return undefined;
  try {
    const value = JSON.parse(text) as unknown[];
    return countNames(value) === names ? value : undefined;
  } catch {
    return undefined;
  }
}

/** The same where some of the objects are bad: each is read for itself, and the good ones are kept. */
export class PartialJsonSource implements BatchSource {
  readonly reading = 'again';
  readonly pointerOf = objectPointer;
  rejected = new Rejected();

  constructor(
    private readonly elements: readonly string[],
    private readonly read: (element: JsonBody) => Omit<CheckedObject, 'place'>,
    private readonly limitBytes: number,
  ) {}

  get count(): number {
    return this.elements.length;
  }

  *chunks(): Generator<CheckedObject[]> {
    this.rejected = new Rejected();
    let good: CheckedObject[] = [];
    for (const [place, element] of this.elements.entries()) {
      try {
        good.push({ ...this.read(new JsonBody(Buffer.from(element), this.limitBytes)), place });
      } catch (error) {
        if (!(error instanceof Problem)) throw error;
        this.rejected.add(errorsOf(error, objectPointer(place)), Math.max(1, error.errorCount));
      }
      if ((place + 1) % CHUNK_OBJECTS !== 0) continue;
      yield good;
      good = [];
    }
    yield good;
  }
}

/** Index of the element that begins after `i`: after the bracket that opens the list, or after another element. */
function nextElement(text: string, i: number): number {
  const at = skipSpace(text, i);
  return skipSpace(text, at + 1);
}
