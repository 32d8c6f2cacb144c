import { isObject, pointerPart } from '#json';
import { Injectable, type ArgumentMetadata, type PipeTransform } from '@nestjs/common';
import { plainToInstance } from 'class-transformer';
import { fieldsOf, mistakesOf } from './field-rules.js';
import { JsonBody } from './json-body.js';
import { NdjsonBody } from './ndjson-body.js';
import { ValidationErrors, Problem, type InputError } from './problems.js';

/**
 * Checks small bodies and query parameters against the DTO class that a handler declares. A handler that declares
 * `JsonBody` gets the body unread: the bulk paths check it themselves, faster. So does one that also takes an `NdjsonBody`,
 * whose declared type is for reflection just `Object`.
 */
@Injectable()
export class InputPipe implements PipeTransform {
  transform(value: unknown, { type, metatype }: ArgumentMetadata): unknown {
    if (type === 'query' && metatype !== undefined) return checkedQuery(metatype, value as object);
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
export function readBody<T extends object>(dto: new () => T, body: JsonBody): { dto: T; text: string } {
  const { value, text } = body.read();
  const mistakes = validateDto(dto, value, '');
  if (mistakes.count > 0) throw mistakes.problem('invalid-body');
  return { dto: instanceOf(dto, value as object), text };
}

/**
 * What is wrong with a body, or a part of one: nothing where the DTO class accepts it.
 * @param parent its JSON Pointer
 */
export function validateDto(dto: new () => object, plain: unknown, parent: string): ValidationErrors {
  if (!isObject(plain)) return new ValidationErrors({ pointer: parent, detail: 'must be an object' });
  return mistakesOfAll(dto, plain, instanceOf(dto, plain), (name, detail) => ({
    pointer: parent + pointerPart(name),
    detail: detail ?? 'is not a member of this body',
  }));
}

function checkedQuery(dto: new () => object, plain: object): object {
  const instance = plainToInstance(dto, instanceOf(dto, plain));
  const mistakes = mistakesOfAll(dto, plain, instance, (parameter, detail) => ({
    parameter,
    detail:
      detail !== undefined && Array.isArray((plain as Record<string, unknown>)[parameter])
        ? 'is given more than once'
        : (detail ?? 'is not a parameter of this address'),
  }));
  if (mistakes.count > 0) throw mistakes.problem('invalid-query');
  return instance;
}

/** Its members as they are, and of those that the class knows only: copying what anybody may send takes anybody's time. */
function instanceOf<T extends object>(dto: new () => T, plain: object): T {
  const members = plain as Record<string, unknown>;
  const instance = new dto();
  const set = instance as Record<string, unknown>;
  for (const name of fieldsOf(dto).keys()) if (Object.hasOwn(members, name)) set[name] = members[name];
  return instance;
}

/** @param tell what is wrong at a name; without a detail, that nobody knows it */
function mistakesOfAll(
  dto: new () => object,
  plain: object,
  instance: object,
  tell: (name: string, detail?: string) => InputError,
): ValidationErrors {
  const mistakes = new ValidationErrors(...mistakesOf(instance).map(({ field, detail }) => tell(field, detail)));
  const fields = fieldsOf(dto);
  for (const name of Object.keys(plain)) if (!fields.has(name)) mistakes.add(tell(name));
  return mistakes;
}
