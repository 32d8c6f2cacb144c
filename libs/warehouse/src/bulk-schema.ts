import { ERRORS_LISTED_MAX, ID_RULE, isTime, TIME_RULE, type InputError } from '#platform';
import { Injectable, Module, type OnModuleInit } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { FastifyAdapter } from '@nestjs/platform-fastify';
import { DocumentBuilder, SwaggerModule } from '@nestjs/swagger';
import { Ajv, type ErrorObject, type ValidateFunction } from 'ajv';
import { CreateBatchDto } from './batch.dto.js';
import {
  CreateObjectDto,
  DATA_RULE,
  KEY_RULE,
  PairDto,
  PatchObjectDto,
  ReplaceObjectDto,
  RESERVED_RULE,
  SCALAR_RULE,
} from './object.dto.js';

const DTOS = [CreateBatchDto, CreateObjectDto, ReplaceObjectDto, PatchObjectDto, PairDto];

/** Errors of one body that are looked at; what is beyond is counted, not listed. */
type Dto = (typeof DTOS)[number];

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
  private readonly validators = new Map<Dto, { quick: ValidateFunction; thorough: ValidateFunction }>();

  async onModuleInit(): Promise<void> {
    const schemas = await schemasOfDtos();
    const quick = createAjv(schemas, false);
    const thorough = createAjv(schemas, true);
    for (const dto of DTOS) {
      const $ref = `dtos#/components/schemas/${dto.name}`;
      this.validators.set(dto, { quick: quick.compile({ $ref }), thorough: thorough.compile({ $ref }) });
    }
  }

  /** What is wrong with a body, or null. Stops at the first mistake while there is none, then collects them all. */
  check(dto: Dto, value: unknown): BulkErrors | null {
    const validators = this.validators.get(dto);
    if (validators === undefined) throw new Error(`${dto.name} has no bulk schema`);
    if (validators.quick(value)) return null;
    validators.thorough(value);
    const errors = (validators.thorough.errors ?? []).map(inputError);
    return { errors: errors.slice(0, ERRORS_LISTED_MAX), errorCount: errors.length };
  }
}

function createAjv(schemas: object, allErrors: boolean): Ajv {
  const ajv = new Ajv({ allErrors, strict: false, validateSchema: false });
  ajv.addFormat('date-time', isTime);
  ajv.addSchema({ $id: 'dtos', components: { schemas } });
  return ajv;
}

/** OpenAPI's schemas of the DTOs, with unknown members refused; they need an application to be derived, any one. */
async function schemasOfDtos(): Promise<object> {
  const app = await NestFactory.create(NoModule, new FastifyAdapter(), { logger: false });
  const options = new DocumentBuilder().setOpenAPIVersion('3.1.0').build();
  const schemas = SwaggerModule.createDocument(app, options, { extraModels: DTOS }).components?.schemas ?? {};
  await app.close();
  return Object.fromEntries(
    Object.entries(schemas).map(([name, schema]) => [name, { ...schema, additionalProperties: false }]),
  );
}

/** In the words of the class-validator rules: the same mistake reads the same in a small body and in a large one. */
function inputError(error: ErrorObject): InputError {
  const { keyword, instancePath: pointer, params } = error as ErrorObject<string, Record<string, string>>;
  if (keyword === 'required') return { pointer: `${pointer}/${String(params.missingProperty)}`, detail: 'is missing' };
  if (keyword === 'additionalProperties') {
    const name = String(params.additionalProperty).replaceAll('~', '~0').replaceAll('/', '~1');
    return { pointer: `${pointer}/${name}`, detail: 'is not a member of this body' };
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
