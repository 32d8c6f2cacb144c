import type { ProblemSlug } from '#http';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { createConfig, lintFromString } from '@redocly/openapi-core';
import { Ajv, type ValidateFunction } from 'ajv';
import { TestApi, type Reply } from '../harness/api.js';
import { CONTRACT } from '../routes/route-table.js';
import { exampleOf, openApiOf, operationsOf, type OpenApi, type Operation } from './open-api.js';
import { RUN } from '../harness/run.js';

/** The method names of generated clients. Changing one breaks its users. */
const OPERATION_IDS: Readonly<Record<string, string>> = {
  'GET /api/v1': 'getRoot',
  'GET /api/v1/limits': 'getLimits',
  'GET /api/v1/projects': 'listProjects',
  'POST /api/v1/projects': 'createProject',
  'GET /api/v1/projects/{project_id}': 'getProject',
  'PATCH /api/v1/projects/{project_id}': 'updateProject',
  'GET /api/v1/projects/{project_id}/keys': 'listKeys',
  'POST /api/v1/projects/{project_id}/keys': 'createKey',
  'GET /api/v1/projects/{project_id}/keys/{key_id}': 'getKey',
  'PATCH /api/v1/projects/{project_id}/keys/{key_id}': 'updateKey',
  'POST /api/v1/projects/{project_id}/keys/{key_id}/rotate': 'rotateKey',
  'DELETE /api/v1/projects/{project_id}': 'deleteProject',
  'DELETE /api/v1/projects/{project_id}/keys/{key_id}': 'revokeKey',
  'GET /api/v1/operator-keys': 'listOperatorKeys',
  'GET /api/v1/operator-keys/{key_id}': 'getOperatorKey',
  'PATCH /api/v1/operator-keys/{key_id}': 'updateOperatorKey',
  'POST /api/v1/operator-keys/{key_id}/rotate': 'rotateOperatorKey',
  'DELETE /api/v1/operator-keys/{key_id}': 'revokeOperatorKey',
  'GET /api/v1/me': 'getMe',
  'GET /api/v1/usage': 'getUsage',
  'GET /api/v1/maintenance': 'getMaintenance',
  'GET /api/v1/audit': 'listAuditEntries',
  'GET /api/v1/devices': 'listDevices',
  'POST /api/v1/devices': 'createDevice',
  'GET /api/v1/devices/{device_id}': 'getDevice',
  'PATCH /api/v1/devices/{device_id}': 'moveDevice',
  'GET /api/v1/firmware': 'listFirmwareEvents',
  'POST /api/v1/firmware': 'reportFirmware',
  'GET /api/v1/firmware/{device_id}': 'listDeviceFirmwareEvents',
  'POST /api/v1/firmware/{device_id}': 'createFirmwareEvent',
  'GET /api/v1/webhooks': 'listWebhooks',
  'POST /api/v1/webhooks': 'createWebhook',
  'GET /api/v1/webhooks/{webhook_id}': 'getWebhook',
  'PATCH /api/v1/webhooks/{webhook_id}': 'updateWebhook',
  'DELETE /api/v1/webhooks/{webhook_id}': 'deleteWebhook',
  'POST /api/v1/webhooks/{webhook_id}/test': 'testWebhook',
  'GET /api/v1/webhooks/{webhook_id}/deliveries': 'listDeliveries',
  'POST /api/v1/webhooks/{webhook_id}/deliveries/retry': 'retryDeliveries',
  'POST /api/v1/webhooks/{webhook_id}/deliveries/{delivery_id}/retry': 'retryDelivery',
  'GET /api/v1/jobs': 'listJobs',
  'GET /api/v1/jobs/{job_id}': 'getJob',
  'POST /api/v1/jobs/{job_id}/retry': 'retryJob',
  'GET /api/v1/batches': 'listBatches',
  'POST /api/v1/batches': 'createBatch',
  'GET /api/v1/batches/{batch_id}': 'getBatch',
  'PUT /api/v1/batches/{batch_id}': 'putBatch',
  'DELETE /api/v1/batches/{batch_id}': 'deleteBatch',
  'GET /api/v1/objects': 'listObjects',
  'POST /api/v1/objects': 'createObject',
  'DELETE /api/v1/objects': 'deleteObjects',
  'POST /api/v1/objects/search': 'searchObjects',
  'GET /api/v1/objects/keys': 'listObjectKeys',
  'GET /api/v1/objects/facets': 'listFacets',
  'GET /api/v1/objects/aggregate': 'aggregateObjects',
  'GET /api/v1/objects/export': 'exportObjects',
  'GET /api/v1/objects/changes': 'listChanges',
  'GET /api/v1/objects/{object_id}': 'getObject',
  'PUT /api/v1/objects/{object_id}': 'replaceObject',
  'PATCH /api/v1/objects/{object_id}': 'patchObject',
  'DELETE /api/v1/objects/{object_id}': 'deleteObject',
  'GET /api/v1/deletions': 'listDeletions',
  'POST /api/v1/deletions/{deletion_id}/restore': 'restoreDeletion',
  'POST /api/v1/batches/{batch_id}/restore': 'restoreBatch',
  'POST /api/v1/objects/{object_id}/restore': 'restoreObject',
  'GET /api/v1/factories': 'listFactories',
  'POST /api/v1/factories': 'createFactories',
  'GET /api/v1/factories/{factory_id}': 'getFactory',
  'GET /api/v1/sprockets': 'listSprockets',
  'POST /api/v1/sprockets': 'createSprockets',
  'GET /api/v1/sprockets/{sprocket_id}': 'getSprocket',
  'PUT /api/v1/sprockets/{sprocket_id}': 'replaceSprocket',
  'GET /api/v1/buildings/{building}/rooms/{room}/temperatures': 'listTemperatures',
  'POST /api/v1/buildings/{building}/rooms/{room}/temperatures': 'recordTemperatures',
  'GET /api/v1/buildings/{building}/rooms/{room}/temperatures/average': 'getRoomAverage',
  'GET /health/live': 'getLiveness',
  'GET /health/ready': 'getReadiness',
  'GET /healthcheck': 'getHealth',
  'GET /metrics': 'getMetrics',
};

/** Rules of the installed redocly for OpenAPI 3.1 that only newer versions recommend by default. */
const STRICTER_RULES = [
  'no-duplicated-tag-names',
  'no-invalid-parameter-examples',
  'no-invalid-schema-examples',
  'no-required-schema-properties-undefined',
  'no-schema-type-mismatch',
  'security-scopes-defined',
];

let api: TestApi;
let document: OpenApi;
let operations: [string, Operation][];

beforeAll(async () => {
  api = await TestApi.start();
  document = await openApiOf(api);
  operations = operationsOf(document);
});
afterAll(() => api.stop());

/** Every `$ref` in a tree. */
function refsIn(tree: unknown): string[] {
  if (typeof tree !== 'object' || tree === null) return [];
  return Object.entries(tree).flatMap(([name, value]) =>
    name === '$ref' && typeof value === 'string' ? [value] : refsIn(value),
  );
}

function lookUp(ref: string): unknown {
  const parts = ref.replace(/^#\//, '').split('/');
  return parts.reduce<unknown>((node, part) => (node as Record<string, unknown> | undefined)?.[part], document);
}

describe('the OpenAPI document', () => {
  it('is OpenAPI 3.1, as JSON and as YAML', async () => {
    expect(document.openapi).toBe('3.1.0');
    const yaml = await api.call('GET', `${api.origin}/openapi.yaml`);
    expect([yaml.status, yaml.text.includes('openapi: 3.1.0')]).toEqual([200, true]);
  });

  it('resolves every reference', () => {
    const refs = new Set(refsIn(document));
    expect(refs.size).toBeGreaterThan(10);
    for (const ref of refs) expect([ref, typeof lookUp(ref)]).toEqual([ref, 'object']);
  });

  it('has valid schemas with valid examples', () => {
    const ajv = schemas();
    for (const name of Object.keys(document.components.schemas)) {
      const validate = compile(ajv, `#/components/schemas/${name}`);
      const example = exampleOf({ $ref: `#/components/schemas/${name}` }, document);
      validate(example);
      expect([name, validate.errors]).toEqual([name, null]);
    }
  });

  it('has a summary for every operation and declares each parameter of its path', () => {
    for (const [name, { summary, parameters = [] }] of operations) {
      expect([name, summary]).toEqual([name, expect.stringMatching(/\w/)]);
      const inPath = parameters.filter((one) => one.in === 'path').map((one) => `{${one.name}}`);
      expect(name.match(/\{\w+\}/g) ?? []).toEqual(inPath);
    }
  });

  it('has a stable operation id for every operation, which a client generator can use as a function name', () => {
    expect(Object.fromEntries(operations.map(([name, { operationId }]) => [name, operationId]))).toEqual(OPERATION_IDS);
    const ids = operations.map(([, { operationId }]) => operationId);
    expect(new Set(ids).size).toBe(ids.length);
  });

  it('passes the recommended rules of redocly, without warnings', async () => {
    const rules = Object.fromEntries(STRICTER_RULES.map((rule) => [rule, 'warn'] as const));
    const config = await createConfig({ extends: ['recommended'], rules });
    const { text } = await api.call('GET', `${api.origin}/openapi.json`);
    const problems = await lintFromString({ source: text, absoluteRef: 'openapi.json', config });
    const found = problems.map(({ ruleId, message, location }) => [ruleId, message, location[0]?.pointer]);
    expect(found).toEqual([]);
  });

  it('describes exactly the tags that operations use', () => {
    const used = new Set(operations.flatMap(([, { tags = [] }]) => tags));
    expect(document.tags.map(({ name }) => name).sort()).toEqual([...used].sort());
    for (const { name, description } of document.tags) expect([name, description]).toEqual([name, expect.any(String)]);
  });

  // Swagger UI fills in example, default and examples of a parameter, and example and default of its schema.
  it('gives Swagger UI no value to prefill for an optional parameter', () => {
    for (const [name, { parameters = [] }] of operations) {
      for (const { name: parameter, required, schema, ...rest } of parameters) {
        if (required === true) continue;
        const filledIn = [rest.example, rest.examples, schema.example, schema.default];
        expect([name, parameter, filledIn]).toEqual([name, parameter, [undefined, undefined, undefined, undefined]]);
      }
    }
  });

  it('shows the example of an optional parameter in its description', () => {
    const data = operations.find(([name]) => name === 'GET /api/v1/objects')?.[1].parameters;
    const [parameter] = data?.filter(({ name }) => name === 'data') ?? [];
    expect(parameter?.schema.examples).toEqual(['{"type":"shoe"}']);
    expect(parameter?.description).toMatch(/ Example: `\{"type":"shoe"\}`\.$/);
  });

  it('describes the ways to send a key, from the bearer token to the firmware headers', () => {
    const schemes = Object.entries(document.components.securitySchemes);
    expect(schemes.map(([name]) => name)).toEqual([
      'bearer',
      'api-key',
      'x-device-api-key',
      'x-project-membership-api-key',
      'api_key',
    ]);
    for (const [name, { description }] of schemes) expect([name, description]).toEqual([name, expect.any(String)]);
    for (const [, { description }] of schemes.slice(2)) expect(description).toMatch(/^Firmware routes only/);
  });

  it('requires the key, roles and headers that the contract requires', () => {
    const inHeader = (name: string) => ({ type: 'apiKey', in: 'header', name, description: expect.any(String) });
    const ofFirmware = {
      'x-device-api-key': inHeader('X-Device-Api-Key'),
      'x-project-membership-api-key': inHeader('X-Project-Membership-Api-Key'),
      api_key: inHeader('api_key'),
    };
    const ofAll = {
      // No bearerFormat: the keys have no standard format.
      bearer: { type: 'http', scheme: 'bearer', description: expect.any(String) },
      'api-key': inHeader('X-Api-Key'),
    };
    expect(document.components.securitySchemes).toEqual({ ...ofAll, ...ofFirmware });
    for (const [name, operation] of operations) {
      // The only route with a key outside of the API.
      const { roles } =
        name === 'GET /metrics' ? { roles: ['operator'] } : (CONTRACT[name.replace('/api/v1', '')] ?? {});
      const more = name.includes('/firmware') ? ofFirmware : {};
      const schemes = roles === undefined ? [] : Object.keys({ ...ofAll, ...more });
      const security = operation.security?.map((one) => Object.keys(one));
      expect([name, operation['x-roles'], security]).toEqual([name, roles, schemes.map((scheme) => [scheme])]);
    }
  });

  it('documents for every operation the problems that all operations of its kind can return', () => {
    for (const [name, operation] of operations) {
      const wanted: ProblemSlug[] = ['invalid-query', 'not-acceptable'];
      if (operation.security?.length !== 0) wanted.push('unauthenticated', 'forbidden', 'unavailable');
      if (name.includes('{')) wanted.push('invalid-path', 'uri-too-long');
      if (name.includes('{') && CONTRACT[name.replace('/api/v1', '')]?.creates !== true) wanted.push('not-found');
      if (name.startsWith('POST ') && operation.security?.length !== 0) wanted.push('precondition-failed');
      const isRead = CONTRACT[name.replace('/api/v1', '')]?.isRead === true;
      if (/^(POST|PUT|PATCH) /.test(name) && operation.security?.length !== 0 && !isRead)
        wanted.push('insufficient-storage');
      if (operation.requestBody !== undefined)
        wanted.push('malformed-request', 'invalid-body', 'too-large', 'unsupported-media-type');
      for (const slug of wanted) {
        const response = operation.responses[RUN.problems[slug].status];
        expect([name, response?.description]).toEqual([name, expect.stringContaining(`${slug}: `)]);
        expect(Object.keys(response?.content ?? {})).toEqual(['application/problem+json']);
      }
    }
  });

  it('documents the media types, headers and problems of an export, and the lines of a batch', () => {
    const { responses = {} } = document.paths['/api/v1/objects/export']?.get ?? {};
    expect(Object.keys(responses[200]?.content ?? {})).toEqual([
      'application/x-ndjson',
      'text/csv',
      'application/vnd.apache.parquet',
    ]);
    expect(Object.keys(responses[200]?.headers ?? {})).toEqual(
      expect.arrayContaining(['Content-Disposition', 'Trailer', 'Export-Count', 'Export-SHA256']),
    );
    expect(['304' in responses, '406' in responses, '414' in responses]).toEqual([false, true, true]);
    const batch = document.paths['/api/v1/batches/{batch_id}']?.get?.responses;
    expect(Object.keys(batch?.[200]?.content ?? {})).toEqual(['application/json', 'application/x-ndjson']);
    expect(batch).toHaveProperty('304');
  });

  it('documents Retry-After for every response with which a key is asked to retry', () => {
    for (const [name, operation] of operations) {
      if (!('x-roles' in operation)) continue;
      for (const status of ['429', '503', '507']) {
        const response = operation.responses[status];
        if (response === undefined) continue;
        const headers = Object.keys(response.headers ?? {});
        expect([name, status, headers]).toEqual([name, status, expect.arrayContaining(['Retry-After'])]);
      }
    }
  });

  it('documents 428 for changes of objects, batches and sprockets, and for no others', () => {
    const requiring = operations.filter(([, { responses }]) => '428' in responses).map(([name]) => name);
    expect(requiring.sort()).toEqual([
      'DELETE /api/v1/batches/{batch_id}',
      'DELETE /api/v1/objects/{object_id}',
      'PATCH /api/v1/objects/{object_id}',
      'PUT /api/v1/batches/{batch_id}',
      'PUT /api/v1/objects/{object_id}',
      'PUT /api/v1/sprockets/{sprocket_id}',
    ]);
  });

  it('documents no unknown problem', () => {
    for (const [, { responses }] of operations) {
      for (const [status, { description }] of Object.entries(responses)) {
        if (Number(status) < 400) continue;
        for (const [, slug = ''] of description.matchAll(/(\S+): /g)) {
          expect([slug, RUN.problems[slug as ProblemSlug].status]).toEqual([slug, Number(status)]);
        }
      }
    }
  });
});

const DATE = /^\d{4}-\d\d-\d\d$/;
const RFC_3339 = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d)$/;

function schemas(): Ajv {
  const ajv = new Ajv({ allErrors: true, strict: false, formats: { 'date-time': RFC_3339, date: DATE, uri: true } });
  return ajv.addSchema({ $id: 'openapi', components: document.components });
}

function compile(ajv: Ajv, ref: string): ValidateFunction {
  return ajv.compile({ $ref: `openapi${ref}` });
}

describe('the examples in the OpenAPI document', () => {
  const ids: Record<string, string> = { batch_id: 'spring-shoes', object_id: 'shoe-1' };
  const done = new Set<string>();
  let admin: string;

  /**
   * Sends the request that the examples of an operation describe; the response must be a documented success.
   * @param mediaType of the body; default the first one
   */
  async function perform(name: string, key?: string, mediaType?: string): Promise<Reply> {
    const operation = operations.find(([one]) => one === name)?.[1];
    if (operation === undefined) throw new Error(`${name} is not documented`);
    const [method = '', template = ''] = name.split(' ');
    const path = template.replace(/\{(\w+)\}/g, (_, id: string) => ids[id] ?? id);
    const url = new URL(api.origin + path);
    for (const {
      name: parameter,
      in: place,
      schema,
      description = '',
      example = schema.example ?? schema.examples?.[0],
    } of operation.parameters ?? []) {
      if (place !== 'query' || example === undefined) continue;
      if (description.startsWith('CSV:') && mediaType !== 'text/csv') continue;
      // A project has a random id, so that the example would not exist.
      const value = parameter === 'project_id' ? ids.project_id : example;
      url.searchParams.set(parameter, typeof value === 'string' ? value : JSON.stringify(value));
    }
    const bodies = Object.entries(operation.requestBody?.content ?? {});
    const [type, content] = bodies.find(([one]) => one === mediaType) ?? bodies[0] ?? [];
    const sent =
      content === undefined
        ? {}
        : { body: content.example ?? exampleOf(content.schema, document), headers: { 'Content-Type': String(type) } };
    const reply = await api.call(method, url.href, { key, ...sent });

    const success = Object.keys(operation.responses).filter((status) => status.startsWith('2'));
    expect([name, success, reply.text]).toEqual([name, expect.arrayContaining([String(reply.status)]), reply.text]);
    const documented = operation.responses[String(reply.status)];
    const always = Object.entries(documented?.headers ?? {}).filter(([, { required }]) => required === true);
    for (const [header] of always) expect([header, reply.headers.has(header)]).toEqual([header, true]);
    const schema = documented?.content?.['application/json']?.schema.$ref;
    if (schema !== undefined) {
      const validate = compile(schemas(), schema);
      validate(reply.json());
      expect([name, validate.errors]).toEqual([name, null]);
    }
    done.add(name);
    return reply;
  }

  beforeAll(async () => {
    admin = (await api.project()).keys.admin;
  });

  function exampleNamed(schema: string): Record<string, unknown> {
    return exampleOf({ $ref: `#/components/schemas/${schema}` }, document) as Record<string, unknown>;
  }

  it('work for the routes that need no key', async () => {
    for (const path of ['/api/v1', '/api/v1/limits', '/health/live', '/health/ready', '/healthcheck']) {
      await perform(`GET ${path}`);
    }
  });

  it('work for projects and keys', async () => {
    const { operatorKey } = api;
    const project = await perform('POST /api/v1/projects', operatorKey);
    ids.project_id = String(project.json<{ project_id: number }>().project_id);
    await perform('GET /api/v1/projects', operatorKey);
    await perform('GET /api/v1/projects/{project_id}', operatorKey);
    const updated = await perform('PATCH /api/v1/projects/{project_id}', operatorKey);
    expect(updated.json()).toMatchObject(exampleNamed('UpdateProjectDto'));
    const key = await perform('POST /api/v1/projects/{project_id}/keys', operatorKey);
    ids.key_id = key.json<{ key_id: string }>().key_id;
    const list = await perform('GET /api/v1/projects/{project_id}/keys', operatorKey);
    expect(list.json()).toMatchObject({ count: 1 });
    await perform('GET /api/v1/projects/{project_id}/keys/{key_id}', operatorKey);
    const changed = await perform('PATCH /api/v1/projects/{project_id}/keys/{key_id}', operatorKey);
    expect(changed.json()).toMatchObject({ name: exampleNamed('UpdateKeyDto').name });
    await perform('POST /api/v1/projects/{project_id}/keys/{key_id}/rotate', operatorKey);
    await perform('DELETE /api/v1/projects/{project_id}/keys/{key_id}', operatorKey);
    expect((await perform('GET /api/v1/me', admin)).json()).toMatchObject({ role: 'admin' });
    expect((await perform('GET /api/v1/usage', admin)).json()).toMatchObject({
      limits: { objects: null, bytes: null },
    });
    expect((await perform('GET /api/v1/maintenance', operatorKey)).json()).toMatchObject({ tables: expect.any(Array) });
    expect((await perform('GET /metrics', operatorKey)).text).toContain('stowage_build_info{');
    expect((await perform('GET /api/v1/audit', operatorKey)).json()).toMatchObject({ results: expect.any(Array) });
    await perform('DELETE /api/v1/projects/{project_id}', operatorKey);
  });

  it('work for operator keys', async () => {
    const { operatorKey } = api;
    expect((await perform('GET /api/v1/operator-keys', operatorKey)).json()).toMatchObject({ count: 1 });
    // Only the command line creates operator keys.
    await api.db.sql(`
      INSERT INTO api_keys (key_id, role, name, prefix, hash) VALUES (1, 'operator', 'another', 'stw_operator_x7Qa', 'x')`);
    ids.key_id = '1';
    await perform('GET /api/v1/operator-keys/{key_id}', operatorKey);
    await perform('PATCH /api/v1/operator-keys/{key_id}', operatorKey);
    await perform('POST /api/v1/operator-keys/{key_id}/rotate', operatorKey);
    await perform('DELETE /api/v1/operator-keys/{key_id}', operatorKey);
  });

  it('work for devices', async () => {
    const device = await perform('POST /api/v1/devices', admin);
    ids.device_id = device.json<{ device_id: string }>().device_id;
    expect((await perform('GET /api/v1/devices', admin)).json()).toMatchObject({ count: 2 });
    await perform('GET /api/v1/devices/{device_id}', admin);
    const { project_id } = exampleNamed('MoveDeviceDto');
    await api.db.sql(`INSERT INTO projects (project_id, seq, name) VALUES ($1, 1, 'moved to')`, [project_id]);
    await perform('PATCH /api/v1/devices/{device_id}', api.operatorKey);
  });

  it('work for webhooks', async () => {
    const webhook = await perform('POST /api/v1/webhooks', admin);
    ids.webhook_id = webhook.json<{ webhook_id: string }>().webhook_id;
    expect((await perform('GET /api/v1/webhooks', admin)).json()).toMatchObject({ count: 1 });
    await perform('GET /api/v1/webhooks/{webhook_id}', admin);
    await perform('PATCH /api/v1/webhooks/{webhook_id}', admin);
    await perform('POST /api/v1/webhooks/{webhook_id}/test', admin);
    const deliveries = await perform('GET /api/v1/webhooks/{webhook_id}/deliveries', admin);
    expect(deliveries.json()).toMatchObject({ results: [{ event: 'webhook.test' }] });
    ids.delivery_id = deliveries.json<{ results: { delivery_id: string }[] }>().results[0]?.delivery_id ?? '';
    await api.db.sql(`UPDATE webhook_deliveries SET status = 'failed' WHERE delivery_id = $1`, [ids.delivery_id]);
    await perform('POST /api/v1/webhooks/{webhook_id}/deliveries/{delivery_id}/retry', admin);
    await perform('POST /api/v1/webhooks/{webhook_id}/deliveries/retry', admin);
    await perform('DELETE /api/v1/webhooks/{webhook_id}', admin);
  });

  it('work for firmware', async () => {
    const { keys } = await api.project();
    const created = await api.call('POST', '/devices', { key: keys.admin, body: { device_id: 'sensor-9' } });
    const device = created.json<{ device_id: string; key: string }>();
    ids.device_id = device.device_id;
    await perform('POST /api/v1/firmware', device.key);
    const event = await perform('POST /api/v1/firmware/{device_id}', device.key);
    expect(event.json()).toEqual({ ...exampleNamed('FirmwareEventDto'), id: expect.any(String) });
    for (const list of ['GET /api/v1/firmware', 'GET /api/v1/firmware/{device_id}']) {
      expect((await perform(list, keys.analyst)).json()).toContainEqual(event.json());
    }
  });

  it.each(['application/x-ndjson', 'text/csv'])('work for batches as %s', async (mediaType) => {
    const { keys } = await api.project();
    const reply = await perform('PUT /api/v1/batches/{batch_id}', keys.producer, mediaType);
    expect([reply.status, reply.json()]).toMatchObject([201, { object_count: 2 }]);
  });

  it('work for batches and objects, and the filters find the stored object', async () => {
    const batch = await perform('POST /api/v1/batches', admin);
    expect([batch.status, batch.json()]).toMatchObject([201, { batch_id: ids.batch_id, object_count: 1 }]);
    const again = await perform('PUT /api/v1/batches/{batch_id}', admin);
    expect([again.status, again.text]).toEqual([200, batch.text]);
    await perform('GET /api/v1/batches/{batch_id}', admin);
    for (const list of ['GET /api/v1/batches', 'GET /api/v1/objects']) {
      expect((await perform(list, admin)).json()).toMatchObject({ count: 1 });
    }
    expect((await perform('POST /api/v1/objects/search', admin)).json()).toMatchObject({ count: 1 });
    const keys = await perform('GET /api/v1/objects/keys', admin);
    expect(keys.json()).toMatchObject({ results: [{ key: 'type', objects: 1, example: 'shoe' }] });
    const facet = await perform('GET /api/v1/objects/facets', admin);
    expect(facet.json()).toMatchObject({ results: [{ value: 'shoe', count: 1 }] });
    const aggregate = await perform('GET /api/v1/objects/aggregate', admin);
    expect(aggregate.json()).toMatchObject({ op: 'count', results: [{ value: 1, count: 1 }] });
    expect((await perform('GET /api/v1/objects/changes', admin)).json()).toMatchObject({
      results: [],
      has_more: false,
    });
    const lines = (await perform('GET /api/v1/objects/export', admin)).text.trimEnd().split('\n');
    expect(lines.map((line) => Object.keys(JSON.parse(line) as object)[0])).toEqual(['object_id', 'export']);
    await perform('GET /api/v1/objects/{object_id}', admin);
    await perform('PUT /api/v1/objects/{object_id}', admin);
    await perform('PATCH /api/v1/objects/{object_id}', admin);
    const patched = await perform('PATCH /api/v1/objects/{object_id}', admin, 'application/json-patch+json');
    expect(patched.json()).toMatchObject({ data: [{ key: 'type', value: 'boot' }, {}] });
    await perform('DELETE /api/v1/objects/{object_id}', admin);
    expect((await perform('POST /api/v1/objects/{object_id}/restore', admin)).json()).toMatchObject({ objects: 1 });
    await perform('DELETE /api/v1/objects/{object_id}', admin);
    await perform('POST /api/v1/objects', admin);
    expect((await perform('DELETE /api/v1/objects', admin)).json()).toEqual({ deleted: 1 });
    const deletions = (await perform('GET /api/v1/deletions', admin)).json<{ results: { deletion_id: string }[] }>();
    ids.deletion_id = deletions.results[0]?.deletion_id ?? '';
    await perform('POST /api/v1/deletions/{deletion_id}/restore', admin);
    expect((await perform('DELETE /api/v1/objects', admin)).json()).toEqual({ deleted: 1 });
    await perform('DELETE /api/v1/batches/{batch_id}', admin);
    expect((await perform('POST /api/v1/batches/{batch_id}/restore', admin)).json()).toMatchObject({ batches: 1 });
  });

  it('work for factories and sprockets', async () => {
    for (const [name, id] of [
      ['factories', 'factory_id'],
      ['sprockets', 'sprocket_id'],
    ] as const) {
      const created = await perform(`POST /api/v1/${name}`, admin);
      ids[id] = created.json<{ id: string }>().id;
      expect((await perform(`GET /api/v1/${name}`, admin)).text).toContain(created.text);
      expect((await perform(`GET /api/v1/${name}/{${id}}`, admin)).text).toBe(created.text);
    }
    await perform('PUT /api/v1/sprockets/{sprocket_id}', admin);
  });

  it('work for temperatures', async () => {
    const room = '/api/v1/buildings/{building}/rooms/{room}/temperatures';
    const reading = await perform(`POST ${room}`, admin);
    expect((await perform(`GET ${room}`, admin)).json()).toMatchObject({ count: 1, results: [reading.json()] });
    expect((await perform(`GET ${room}/average`, admin)).json()).toMatchObject({ reading_count: 1 });
  });

  it('work for jobs', async () => {
    const { keys } = await api.project();
    const body = { batch_id: 'later', objects: [] };
    const accepted = await api.call('POST', '/batches', {
      key: keys.admin,
      body,
      headers: { Prefer: 'respond-async' },
    });
    ids.job_id = accepted.json<{ id: string }>().id;
    const problem = JSON.stringify(exampleOf({ $ref: '#/components/schemas/ProblemDto' }, document));
    const end = `UPDATE jobs SET status = 'failed', finished_at = now(), problem = $2 WHERE job_id = $1`;
    await api.db.sql(end, [ids.job_id, problem]);
    expect((await perform('GET /api/v1/jobs', keys.admin)).json()).toMatchObject({ count: 1 });
    await perform('GET /api/v1/jobs/{job_id}', keys.admin);
    await perform('POST /api/v1/jobs/{job_id}/retry', keys.admin);
  });

  it('cover every operation', () => {
    expect([...done].sort()).toEqual(operations.map(([name]) => name).sort());
  });
});
