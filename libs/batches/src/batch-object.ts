import { isValidDto, partErrors, Problem, validateDto, ValidationErrors, type JsonBody } from '#http';
import { dataText, isShorthand, NewObjectDto } from '#objects';
import { listOfPairs, type NewObjectRow } from '#store';
import { ObjectLineDto } from './batch.dto.js';

/** A valid object with its position in the request. */
export interface BatchObject extends NewObjectRow {
  /** The index in a list, or the number of a line. */
  position: number;
}

/** @param data the text of `data` as sent */
export function batchObject(position: number, objectId: string, dto: NewObjectDto, data: string): BatchObject {
  return {
    position,
    objectId,
    subject: dto.subject ?? null,
    observedAt: dto.observed_at ?? null,
    data: listOfPairs(data),
  };
}

/** The position of an object in its request and in its batch. */
export interface ObjectPlace {
  /** As in `BatchObject`. */
  position: number;
  batchId: string;
  /** The number of objects before it in the batch. */
  index: number;
}

const ID_LENGTH_MAX = 255;

/**
 * The id of an object that is sent without one. It is the same for JSON and NDJSON and when the batch is sent again.
 * @returns null where it would be longer than 255 characters
 */
export function derivedId(batchId: string, index: number): string | null {
  const id = `${batchId}.${String(index)}`;
  return id.length <= ID_LENGTH_MAX || [...id].length <= ID_LENGTH_MAX ? id : null;
}

/**
 * Parses and validates an object of a batch.
 * @param pointerTo JSON Pointer to the object at a position; called only for an object with an error
 * @param whole the JSON body that the object is a part of; undefined for a line of a stream
 * @throws Problem malformed-request for a part of a JSON body that is not JSON
 */
export function parseBatchObject(
  body: JsonBody,
  { position, batchId, index }: ObjectPlace,
  pointerTo: (position: number) => string,
  whole?: JsonBody,
): BatchObject | ValidationErrors {
  try {
    const { text, value } = body.read(isShorthand);
    const data = dataText(text);
    const dtoClass = whole === undefined ? ObjectLineDto : NewObjectDto;
    if (data === undefined || !isValidDto(dtoClass, value)) {
      return validateDto(dtoClass, value, pointerTo(position));
    }
    const dto = value as ObjectLineDto;
    if (dto.batch_id !== undefined && dto.batch_id !== batchId) {
      const detail = `must be "${batchId}", the batch of the request, or be omitted`;
      return new ValidationErrors({ pointer: `${pointerTo(position)}/batch_id`, detail });
    }
    const objectId = dto.object_id ?? derivedId(batchId, index);
    if (objectId === null) return idMissing(pointerTo(position));
    return batchObject(position, objectId, dto, data);
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    return partErrors(error, pointerTo(position), whole);
  }
}

export function idMissing(pointer: string): ValidationErrors {
  const limit = String(ID_LENGTH_MAX);
  const detail = `is missing, and <batch_id>.<position> would have more than ${limit} characters; send an object_id`;
  return new ValidationErrors({ pointer: `${pointer}/object_id`, detail });
}
