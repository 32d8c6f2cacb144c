import { isValidDto, partErrors, Problem, validateDto, type JsonBody, type ValidationErrors } from '#http';
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
 * @param whole the JSON body that the object is a part of; undefined for a line of a stream
 * @throws Problem malformed-request for a part of a JSON body that is not JSON
 */
export function parseBatchObject(
  body: JsonBody,
  position: number,
  pointerTo: (position: number) => string,
  whole?: JsonBody,
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
    return partErrors(error, pointerTo(position), whole);
  }
}
