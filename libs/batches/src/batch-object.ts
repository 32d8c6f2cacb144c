import { isValidDto, MalformedJson, Problem, validateDto, ValidationErrors, type JsonBody } from '#http';
import { dataText, isShorthand, NewObjectDto } from '#objects';
import { listOfPairs, type NewObjectRow } from '#store';

/** A valid object with its position in the request. */
export interface BatchObject extends NewObjectRow {
  /** The index in a list, or the number of a line. */
  position: number;
}

/** @param data the text of `data` as sent */
export function batchObject(position: number, dto: NewObjectDto, data: string): BatchObject {
  return {
    position,
    objectId: dto.object_id,
    subject: dto.subject ?? null,
    observedAt: dto.observed_at ?? null,
    data: listOfPairs(data),
  };
}

/**
 * Parses and validates an object of a batch.
 * @param pointerTo JSON Pointer to the object at a position; called only for an object with an error
 */
export function parseBatchObject(
  body: JsonBody,
  position: number,
  pointerTo: (position: number) => string,
): BatchObject | ValidationErrors {
  try {
    const { text, value } = body.read(isShorthand);
    const data = dataText(text);
    if (data === undefined || !isValidDto(NewObjectDto, value)) {
      return validateDto(NewObjectDto, value, pointerTo(position));
    }
    return batchObject(position, value as NewObjectDto, data);
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    return errorsOf(error, pointerTo(position));
  }
}

/** The errors of a problem with pointers below `parent`. */
function errorsOf(problem: Problem, parent: string): ValidationErrors {
  if (problem instanceof MalformedJson) {
    // The object is one line of a stream: its pointer has the number of the line.
    const { reason, location } = problem;
    const at = location && ` at column ${String(location.column)}`;
    return new ValidationErrors({ pointer: parent, detail: `${reason}${at ?? ''}` });
  }
  const { errors, errorCount, message } = problem;
  if (errors.length === 0) return new ValidationErrors({ pointer: parent, detail: message });
  const found = new ValidationErrors();
  for (const error of errors) {
    found.add({ pointer: parent + ('pointer' in error ? error.pointer : ''), detail: error.detail });
  }
  found.count = errorCount;
  return found;
}
