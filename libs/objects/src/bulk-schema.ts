import { pointerPart } from '#json';
import { ERRORS_LISTED_MAX, ID_RULE, TIME_RULE, type InputError } from '#http';
import { isTime } from '#platform';
import { Injectable, Module, type OnModuleInit } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { FastifyAdapter } from '@nestjs/platform-fastify';
import { DocumentBuilder, SwaggerModule } from '@nestjs/swagger';
import { Ajv, type ErrorObject, type ValidateFunction } from 'ajv';
import {
  CreateObjectDto,
  DATA_RULE,
  KEY_RULE,
  NewObjectDto,
  PairDto,
  PatchObjectDto,
  ReplaceObjectDto,
  RESERVED_RULE,
  SCALAR_RULE,
} from './object.dto.js';

export type DtoClass = new () => object;

/** The DTOs of one object; those of a batch come from the batches lib. */
export const OBJECT_DTOS = [NewObjectDto, CreateObjectDto, ReplaceObjectDto, PatchObjectDto, PairDto];

/** Of a piece with more members only the first mistake is told. */
const THOROUGH_MEMBERS_MAX = 1_000;

interface Validators {
  /** Stops at the first mistake. */
  quick: ValidateFunction;
  /** Finds them all. */
  thorough: ValidateFunction;
}

export interface BulkErrors {
  errors: InputError[];
  errorCount: number;
}

@Module({})
class NoModule {}

/**
 * Checks bodies of objects with ajv, from the very schema that the DTO classes give to OpenAPI: 11 ms for 10,000 objects,
 * where class-validator takes 1,208. A test runs both over the same samples.
 */
@Injectable()
export class BulkSchema implements OnModuleInit {
  private readonly validators = new Map<DtoClass, Validators>();

  constructor(private readonly dtos: readonly DtoClass[]) {}

  async onModuleInit(): Promise<void> {
    const schemas = await schemasOfDtos(this.dtos);
    const quick = createAjv(schemas, false);
    const thorough = createAjv(schemas, true);
    for (const dto of this.dtos) {
      const $ref = `dtos#/components/schemas/${dto.name}`;
      this.validators.set(dto, { quick: quick.compile({ $ref }), thorough: thorough.compile({ $ref }) });
    }
  }

  /** What is wrong with a body, or null: one quick run where nothing is, and piece by piece where something is. */
  check(dto: DtoClass, value: unknown): BulkErrors | null {
    if (this.of(dto).quick(value)) return null;
    const found: BulkErrors = { errors: [], errorCount: 0 };
    for (const piece of piecesOf(dto, value, '')) {
      const { quick, thorough } = this.of(piece.dto);
      const validate = membersIn(piece.value) > THOROUGH_MEMBERS_MAX ? quick : thorough;
      if (validate(piece.value)) continue;
      for (const error of mistakesIn(validate.errors ?? [], piece.pointer)) {
        if (++found.errorCount <= ERRORS_LISTED_MAX) found.errors.push(error);
      }
    }
    return found;
  }

  /** Whether nothing is wrong with any of these. */
  accepts(dto: DtoClass, values: readonly unknown[]): boolean {
    const { quick } = this.of(dto);
    return values.every((value) => quick(value));
  }

  private of(dto: DtoClass): Validators {
    const validators = this.validators.get(dto);
    if (validators === undefined) throw new Error(`${dto.name} has no bulk schema`);
    return validators;
  }
}

/** A part of a body with a schema of its own. */
interface Piece {
  dto: DtoClass;
  value: unknown;
  pointer: string;
}

/**
 * A body in pieces as small as they come: every mistake is an object in memory while a piece is checked, and a body of
 * 64 MiB has room for thirty million of them.
 */
function* piecesOf(dto: DtoClass, value: unknown, pointer: string): Generator<Piece> {
  const { objects, data } = (value ?? {}) as { objects?: unknown; data?: unknown };
  if (/BatchDto$/.test(dto.name) && Array.isArray(objects)) {
    yield { dto, value: { ...(value as object), objects: [] }, pointer };
    for (const [index, object] of objects.entries())
      yield* piecesOf(NewObjectDto, object, `${pointer}/objects/${String(index)}`);
  } else if (Array.isArray(data)) {
    yield { dto, value: { ...(value as object), data: [] }, pointer };
    for (const [index, pair] of data.entries())
      yield { dto: PairDto, value: pair, pointer: `${pointer}/data/${String(index)}` };
  } else {
    yield { dto, value, pointer };
  }
}

function membersIn(value: unknown): number {
  if (typeof value !== 'object' || value === null) return 0;
  const { data } = value as { data?: unknown };
  return Object.keys(value).length + (typeof data === 'object' && data !== null ? Object.keys(data).length : 0);
}

function createAjv(schemas: object, allErrors: boolean): Ajv {
  const ajv = new Ajv({ allErrors, strict: false, validateSchema: false });
  ajv.addFormat('date-time', isTime);
  ajv.addSchema({ $id: 'dtos', components: { schemas } });
  return ajv;
}

/** OpenAPI's schemas of the DTOs, with unknown members refused; they need an application to be derived, any one. */
async function schemasOfDtos(dtos: readonly DtoClass[]): Promise<object> {
  const app = await NestFactory.create(NoModule, new FastifyAdapter(), { logger: false });
  const options = new DocumentBuilder().setOpenAPIVersion('3.1.0').build();
  const schemas = SwaggerModule.createDocument(app, options, { extraModels: [...dtos] }).components?.schemas ?? {};
  await app.close();
  return Object.fromEntries(
    Object.entries(schemas).map(([name, schema]) => [name, { ...schema, additionalProperties: false }]),
  );
}

/** A rule that is made of several keywords is broken once. */
function mistakesIn(errors: readonly ErrorObject[], parent: string): InputError[] {
  const found = new Map(
    errors.map((error) => inputError(error, parent)).map((error) => [JSON.stringify(error), error]),
  );
  return [...found.values()];
}

/** In the words of the class-validator rules: the same mistake reads the same in a small body and in a large one. */
function inputError(error: ErrorObject, parent: string): InputError {
  const { keyword, params } = error as ErrorObject<string, Record<string, string>>;
  const pointer = parent + error.instancePath;
  if (keyword === 'required') return { pointer: `${pointer}/${String(params.missingProperty)}`, detail: 'is missing' };
  if (keyword === 'additionalProperties') {
    return { pointer: pointer + pointerPart(params.additionalProperty ?? ''), detail: 'is not a member of this body' };
  }
  if (keyword === 'not') return { pointer, detail: RESERVED_RULE };
  const last = pointer.slice(pointer.lastIndexOf('/') + 1);
  return { pointer, detail: ruleOf(last, pointer) };
}

function ruleOf(member: string, pointer: string): string {
  if (/\/data\/\d+$/.test(pointer) || /^\/objects\/\d+$/.test(pointer) || pointer === '') return 'must be an object';
  if (member === 'data') return DATA_RULE;
  if (member === 'objects') return 'must be a list of objects';
  if (member === 'observed_at') return TIME_RULE;
  if (/\/data\/\d+\/key$/.test(pointer)) return KEY_RULE;
  return /\/data\//.test(pointer) ? SCALAR_RULE : ID_RULE;
}
