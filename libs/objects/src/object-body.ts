import { findMember, skipSpace } from '#json';
import { validateDto, type JsonBody } from '#http';
import { Injectable } from '@nestjs/common';
import { NewObjectDto, type CreateObjectDto, type PatchObjectDto, type ReplaceObjectDto } from './object.dto.js';
import type { NewObjectRow } from '#store';
import { listOfPairs } from '#store';

/** One object's validated body and the text of its pairs. */
export interface IncomingObject<Dto> {
  dto: Dto;
  /** The pairs as sent, to the letter; undefined where a patch leaves them alone. */
  data: string | undefined;
}

type ObjectDtoClass = typeof NewObjectDto | typeof CreateObjectDto | typeof ReplaceObjectDto | typeof PatchObjectDto;

/** Shorthand `data` may repeat a name: each occurrence is a pair of its own. */
export const isShorthand = (pointer: string): boolean => /^(?:\/objects\/\d+)?\/data$/.test(pointer);

/** Parses and validates the body of one object, and keeps its text for the database. */
@Injectable()
export class ObjectBodies {
  /** @throws Problem malformed-request or invalid-body */
  readObject<Class extends ObjectDtoClass>(dtoClass: Class, body: JsonBody): IncomingObject<InstanceType<Class>> {
    const { text, value } = body.read(isShorthand);
    const errors = validateDto(dtoClass, value, '');
    if (errors.count > 0) throw errors.problem('invalid-body');
    const { value: span } = findMember(text, skipSpace(text, 0), 'data');
    const data = span === undefined ? undefined : text.slice(span.start, span.end);
    return { dto: value as InstanceType<Class>, data };
  }

  /** An object inside a batch. @throws Problem malformed-request or invalid-body */
  readElement(body: JsonBody): NewObjectRow {
    const { dto, data } = this.readObject(NewObjectDto, body);
    if (data === undefined) throw new Error('an object without data passed the schema that requires it');
    return newObjectRow(dto, listOfPairs(data));
  }
}

/** The row of a validated object. */
export function newObjectRow({ object_id, subject, observed_at }: NewObjectDto, data: string): NewObjectRow {
  return { objectId: object_id, subject: subject ?? null, observedAt: observed_at ?? null, data };
}
