import { findMember, skipSpace } from '#json';
import { JsonBody, Problem } from '#platform';
import { Rejected, type BatchSource, type CheckedObject } from './batch-source.js';
import { errorsOf } from './ndjson-source.js';
import type { NewObjectDto } from './object.dto.js';
import { listOfPairs, refuseNestedValues } from './pairs.js';

/** Small enough that the database works on one chunk while the next is cut out of the text. */
const CHUNK_OBJECTS = 500;

/** The objects of a JSON body, checked already; each time it is read anew, so that a lost transaction can be done again. */
export class JsonSource implements BatchSource {
  readonly rejected = new Rejected();

  /** @param start where the list of objects begins in the text; `objects` are its elements, parsed */
  constructor(
    private readonly text: string,
    private readonly start: number,
    private readonly objects: readonly NewObjectDto[],
  ) {}

  pointerOf(place: number): string {
    return `/objects/${String(place)}`;
  }

  *chunks(): Generator<CheckedObject[]> {
    let chunk: CheckedObject[] = [];
    let i = this.start;
    for (const [place, object] of this.objects.entries()) {
      i = nextElement(this.text, i);
      const { value: span, end } = findMember(this.text, i, 'data');
      if (span === undefined) throw new Error('an object without data passed the schema that requires it');
      const data = this.text.slice(span.start, span.end);
      refuseNestedValues(data, this.pointerOf(place));
      chunk.push(checkedObject(place, object, listOfPairs(data)));
      if (chunk.length === CHUNK_OBJECTS) {
        yield chunk;
        chunk = [];
      }
      i = end;
    }
    if (chunk.length > 0) yield chunk;
  }
}

/** The same where some of the objects are bad: each is read for itself, and the good ones are kept. */
export class PartialJsonSource implements BatchSource {
  rejected = new Rejected();

  constructor(
    private readonly elements: readonly string[],
    private readonly read: (element: JsonBody) => Omit<CheckedObject, 'place'>,
    private readonly limitBytes: number,
  ) {}

  pointerOf(place: number): string {
    return `/objects/${String(place)}`;
  }

  *chunks(): Generator<CheckedObject[]> {
    this.rejected = new Rejected();
    const good: CheckedObject[] = [];
    for (const [place, element] of this.elements.entries()) {
      try {
        good.push({ ...this.read(new JsonBody(Buffer.from(element), this.limitBytes)), place });
      } catch (error) {
        if (!(error instanceof Problem)) throw error;
        this.rejected.add(errorsOf(error, this.pointerOf(place)), Math.max(1, error.errorCount));
      }
    }
    for (let i = 0; i < good.length; i += CHUNK_OBJECTS) yield good.slice(i, i + CHUNK_OBJECTS);
  }
}

/** What an object's body says, as the writer wants it. */
export function checkedObject(
  place: number,
  { object_id, subject, observed_at }: NewObjectDto,
  data: string,
): CheckedObject {
  return { place, objectId: object_id, subject: subject ?? null, observedAt: observed_at ?? null, data };
}

/** Index of the element that begins after `i`: after the bracket that opens the list, or after another element. */
function nextElement(text: string, i: number): number {
  const at = skipSpace(text, i);
  return skipSpace(text, at + 1);
}
