import { isObject, pointerPart } from '#json';
import { Injectable, type ArgumentMetadata, type PipeTransform } from '@nestjs/common';
import { plainToInstance } from 'class-transformer';
import { validateSync, type ValidationError } from 'class-validator';
import { JsonBody } from './json-body.js';
import { NdjsonBody } from './ndjson-body.js';
import { countOf, ERRORS_LISTED_MAX, Problem, type InputError } from './problems.js';
import { isGood } from './quick-check.js';

/**
 * Checks small bodies and query parameters against the DTO class that a handler declares. A handler that declares
 * `JsonBody` gets the body unread: the bulk paths check it themselves, faster. So does one that also takes an `NdjsonBody`,
 * whose declared type is for reflection just `Object`.
 */
@Injectable()
export class InputPipe implements PipeTransform {
  transform(value: unknown, { type, metatype }: ArgumentMetadata): unknown {
    if (type === 'query' && metatype !== undefined) return checked(metatype, value, queryProblem);
    if (type !== 'body') return value;
    const body = requireBody(value);
    if (body instanceof NdjsonBody || metatype === undefined || metatype === JsonBody || metatype === Object)
      return body;
    return readBody(metatype, body).dto;
  }
}

/** The body of a request, where it has one that is read as JSON. @throws Problem malformed-request */
export function requireBody(body: unknown): JsonBody | NdjsonBody {
  if (body instanceof JsonBody || body instanceof NdjsonBody) return body;
  throw new Problem('malformed-request', { detail: 'The body is empty; this address takes JSON.' });
}

/**
 * A small body, checked against the DTO class, and its text, from which numbers can be cut to the last digit.
 * @throws Problem malformed-request or invalid-body
 */
export function readBody<T>(dto: new () => T, body: JsonBody): { dto: T; text: string } {
  const { value, text } = body.read();
  return { dto: checked(dto, value, bodyProblem), text };
}

/**
 * What is wrong with a part of a body, one of a list, as far as it is told: nothing where the DTO class accepts it.
 * @param parent its JSON Pointer
 */
export function mistakesIn(dto: new () => object, plain: unknown, parent: string): InputError[] {
  if (!isObject(plain)) return [{ pointer: parent, detail: 'must be an object' }];
  // Its members as they are: class-transformer would copy all that is in them.
  const members = Object.entries(plain).filter(([name]) => !(name in Object.prototype));
  const instance = Object.assign(new dto(), Object.fromEntries(members));
  const mistakes = errorsOf(plain, instance).flatMap((error) => bodyErrors(error, parent));
  return mistakes.slice(0, ERRORS_LISTED_MAX);
}

function checked<T>(dto: new () => T, plain: unknown, refuse: (errors: ValidationError[]) => Problem): T {
  if (!isObject(plain)) {
    throw new Problem('invalid-body', { detail: countOf(1), errors: [{ pointer: '', detail: 'must be an object' }] });
  }
  const instance = plainToInstance(dto, plain);
  const errors = errorsOf(plain, instance as object);
  if (errors.length > 0) throw refuse(errors);
  return instance;
}

function errorsOf(plain: object, instance: object): ValidationError[] {
  const unseen = unseenMembers(plain);
  if (unseen.length === 0 && isGood(instance)) return [];
  const options = { whitelist: true, forbidNonWhitelisted: true, forbidUnknownValues: false };
  return [...unseen, ...validateSync(instance, options)];
}

/** Members with a name that every object has, `constructor` or `toString`: class-transformer leaves them out in silence. */
function unseenMembers(plain: object): ValidationError[] {
  const names = Object.keys(plain).filter((name) => name in Object.prototype);
  return names.map((property) => ({ property, constraints: { whitelistValidation: '' } }));
}

function bodyProblem(errors: ValidationError[]): Problem {
  const found = errors.flatMap((error) => bodyErrors(error, ''));
  return new Problem('invalid-body', { detail: countOf(found.length), errors: found });
}

function bodyErrors(error: ValidationError, parent: string): InputError[] {
  const pointer = parent + pointerPart(error.property);
  const own = messages(error, 'is not a member of this body').map((detail) => ({ pointer, detail }));
  return [...own, ...(error.children ?? []).flatMap((child) => bodyErrors(child, pointer))];
}

function queryProblem(errors: ValidationError[]): Problem {
  const found = errors.flatMap((error) =>
    messages(error, 'is not a parameter of this address').map((detail) => ({ parameter: error.property, detail })),
  );
  return new Problem('invalid-query', { detail: countOf(found.length), errors: found });
}

/** Our decorators' messages are written to follow the place that the error names: "must be …". */
function messages(error: ValidationError, unknownName: string): string[] {
  return Object.entries(error.constraints ?? {}).map(([constraint, message]) =>
    constraint === 'whitelistValidation' ? unknownName : message,
  );
}
