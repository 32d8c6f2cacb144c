import { Injectable, SetMetadata, type ArgumentMetadata, type PipeTransform } from '@nestjs/common';
import { plainToInstance } from 'class-transformer';
import { DtoValidator, validateDto, ValidationContext, type DtoClass } from './dto-validator.js';
import { JsonBody } from './json-body.js';
import { RequestStream } from './request-stream.js';
import { ValidationErrors, Problem } from './problems.js';

const OPTIONAL_BODY = Symbol('optional body');

/** Of a DTO whose members are all optional: a request without a body is one without members. */
export function OptionalBody(): ClassDecorator {
  return SetMetadata(OPTIONAL_BODY, true);
}

/**
 * Validates bodies and query parameters against the DTO class that a handler declares. A handler that declares `JsonBody`
 * gets the body unread. So does a handler that also accepts a `RequestStream`: reflection reports the type of such a union as
 * `Object`.
 */
@Injectable()
export class InputPipe implements PipeTransform {
  transform(value: unknown, { type, metatype }: ArgumentMetadata): unknown {
    if (type === 'query' && metatype !== undefined) return readQuery(metatype, value as Record<string, unknown>);
    if (type !== 'body') return value;
    if (isEmpty(value) && metatype !== undefined && Reflect.hasMetadata(OPTIONAL_BODY, metatype)) return new metatype();
    const body = requireBody(value);
    if (metatype === undefined || metatype === Object) return body;
    if (body instanceof RequestStream)
      throw new Error(`the route accepts streams, but its handler takes ${metatype.name}`);
    if (metatype === JsonBody) return body;
    return readBody(metatype, body).dto;
  }
}

function isEmpty(body: unknown): boolean {
  return body instanceof JsonBody ? body.bytes.length === 0 : body == null;
}

/** The body of a request, where it has one that is read as JSON. @throws Problem malformed-request */
export function requireBody(body: unknown): JsonBody | RequestStream {
  if (body instanceof JsonBody || body instanceof RequestStream) return body;
  throw new Problem('malformed-request', { detail: 'The body is empty; send JSON.' });
}

/**
 * A body, validated as the DTO class, and its text, from which numbers can be cut with every digit.
 * @throws Problem malformed-request or invalid-body
 */
export function readBody<T extends object>(dto: new () => T, body: JsonBody): { dto: T; text: string } {
  const { value, text } = body.read();
  const errors = validateDto(dto, value, '');
  if (errors.count > 0) throw errors.problem('invalid-body');
  return { dto: value as T, text };
}

/** Query parameters as an instance of the DTO class: class-transformer turns their text into numbers and flags. */
function readQuery(dto: DtoClass, query: Readonly<Record<string, unknown>>): object {
  const validator = DtoValidator.of(dto);
  const known = Object.entries(query).filter(([name]) => validator.names.has(name));
  // Most reads of one object have no parameters, and class-transformer takes longer than the rest of the pipe.
  const instance = known.length === 0 ? new dto() : plainToInstance(dto, Object.fromEntries(known));
  const errors = new ValidationErrors();
  const toError = (
    [name = '']: readonly (string | number)[],
    detail: string,
  ): { parameter: string; detail: string } => {
    const parameter = String(name);
    return { parameter, detail: Array.isArray(query[parameter]) ? 'is given more than once' : detail };
  };
  validator.validate(instance, new ValidationContext(errors, toError));
  for (const parameter of Object.keys(query)) {
    if (!validator.names.has(parameter)) errors.add({ parameter, detail: unknownParameter(validator.names) });
  }
  if (errors.count > 0) throw errors.problem('invalid-query');
  return instance;
}

function unknownParameter(names: Iterable<string>): string {
  return `is not a parameter of this resource; its parameters are ${[...names].join(', ')}`;
}
