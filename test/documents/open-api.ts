import type { TestApi } from '../harness/api.js';

export interface Schema {
  $ref?: string;
  example?: unknown;
  examples?: unknown[];
  default?: unknown;
  type?: string | string[];
  properties?: Record<string, Schema>;
  items?: Schema;
  allOf?: Schema[];
  oneOf?: Schema[];
  anyOf?: Schema[];
}

interface Parameter {
  name: string;
  in: string;
  required?: boolean;
  description?: string;
  schema: Schema;
  example?: unknown;
  examples?: unknown;
}

export interface Operation {
  operationId?: string;
  summary?: string;
  security?: object[];
  'x-roles'?: string[];
  tags?: string[];
  parameters?: Parameter[];
  requestBody?: { content: Record<string, { schema: Schema; example?: string }> };
  responses: Record<
    string,
    {
      description: string;
      headers?: Record<string, { required?: boolean }>;
      content?: Record<string, { schema: Schema }>;
    }
  >;
}

export interface OpenApi {
  openapi: string;
  tags: { name: string; description?: string }[];
  paths: Record<string, Record<string, Operation>>;
  components: { schemas: Record<string, Schema>; securitySchemes: Record<string, { description?: string }> };
}

export async function openApiOf(api: TestApi): Promise<OpenApi> {
  return (await api.call('GET', `${api.origin}/openapi.json`)).json<OpenApi>();
}

/** Every operation, by a name such as `GET /api/v1/batches`. */
export function operationsOf({ paths }: OpenApi): [string, Operation][] {
  return Object.entries(paths).flatMap(([path, item]) =>
    Object.entries(item).map(([method, operation]): [string, Operation] => [
      `${method.toUpperCase()} ${path}`,
      operation,
    ]),
  );
}

/** Builds a value from the examples of a schema; undefined if there are none. */
export function exampleOf(schema: Schema, document: OpenApi): unknown {
  if (schema.example !== undefined) return schema.example;
  if (schema.$ref !== undefined) {
    const named = document.components.schemas[schema.$ref.split('/').at(-1) ?? ''];
    return named === undefined ? undefined : exampleOf(named, document);
  }
  const [first] = schema.oneOf ?? schema.anyOf ?? schema.allOf ?? [];
  if (first !== undefined) return exampleOf(first, document);
  if (schema.items !== undefined) {
    const element = exampleOf(schema.items, document);
    return element === undefined ? undefined : [element];
  }
  if (schema.properties === undefined) return undefined;
  const members = Object.entries(schema.properties).map(([name, one]): [string, unknown] => [
    name,
    exampleOf(one, document),
  ]);
  const given = members.filter(([, example]) => example !== undefined);
  return given.length === 0 ? undefined : Object.fromEntries(given);
}
