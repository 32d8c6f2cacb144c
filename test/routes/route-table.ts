import type { Role } from '#http';
import type { TestApi } from '../harness/api.js';

export const METHODS = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'] as const;

/** A record, so that a missing role fails to compile. */
const EVERY_ROLE: Record<Role, true> = { operator: true, admin: true, producer: true, analyst: true, device: true };
export const ROLES = Object.keys(EVERY_ROLE) as Role[];

/** A route of the contract, from its chapter "Keys and roles" and its tables of requests. */
export interface ContractRoute {
  roles: readonly Role[];
  /** A valid body, for a route that accepts one. */
  body?: object;
  /** Whether the body may be missing. */
  isBodyOptional?: true;
  /** The accepted media types, the preferred one first. Default: application/json. */
  types?: readonly string[];
  /** The required query parameters. */
  query?: string;
  /** Whether it is a POST that only reads. */
  isRead?: true;
  /** Whether it creates the resource in its path, so that it never returns 404. */
  creates?: true;
}

const PATCH_TYPES = ['application/merge-patch+json', 'application/json'];
const OF_PROJECTS: readonly Role[] = ['operator', 'admin'];
const PRODUCERS: readonly Role[] = ['admin', 'producer'];
const READERS: readonly Role[] = ['admin', 'analyst'];
const READERS_AND_DEVICES: readonly Role[] = ['admin', 'analyst', 'device'];
const SPROCKET = { teeth: 5, pitch_diameter: 5, outside_diameter: 6, pitch: 1 };
const CHART = { sprocket_production_actual: [32], sprocket_production_goal: [30], time: [1611194818] };
const OBJECT = { object_id: 'new', data: [{ key: 'type', value: 'shoe' }] };

/** Every route under /api/v1 that requires a key, according to the contract, not to the code. */
export const CONTRACT: Readonly<Record<string, ContractRoute>> = {
  'GET /projects': { roles: ['operator'] },
  'POST /projects': { roles: ['operator'], body: { name: 'new' } },
  'GET /projects/{project_id}': { roles: OF_PROJECTS },
  'PATCH /projects/{project_id}': { roles: ['operator'], body: { objects_max: null }, types: PATCH_TYPES },
  'DELETE /projects/{project_id}': { roles: ['operator'] },
  'GET /projects/{project_id}/keys': { roles: OF_PROJECTS },
  'POST /projects/{project_id}/keys': { roles: OF_PROJECTS, body: { name: 'new', role: 'analyst' } },
  'GET /projects/{project_id}/keys/{key_id}': { roles: OF_PROJECTS },
  'PATCH /projects/{project_id}/keys/{key_id}': { roles: OF_PROJECTS, body: { name: 'new' }, types: PATCH_TYPES },
  'POST /projects/{project_id}/keys/{key_id}/rotate': {
    roles: OF_PROJECTS,
    body: { overlap_seconds: 60 },
    isBodyOptional: true,
  },
  'DELETE /projects/{project_id}/keys/{key_id}': { roles: OF_PROJECTS },
  'GET /operator-keys': { roles: ['operator'] },
  'GET /operator-keys/{key_id}': { roles: ['operator'] },
  'PATCH /operator-keys/{key_id}': { roles: ['operator'], body: { name: 'new' }, types: PATCH_TYPES },
  'POST /operator-keys/{key_id}/rotate': { roles: ['operator'], body: { overlap_seconds: 60 }, isBodyOptional: true },
  'DELETE /operator-keys/{key_id}': { roles: ['operator'] },
  'GET /me': { roles: ROLES },
  'GET /usage': { roles: ['admin'] },
  'GET /maintenance': { roles: ['operator'] },
  'GET /audit': { roles: OF_PROJECTS },
  'GET /devices': { roles: READERS },
  'POST /devices': { roles: ['admin'], body: { device_id: 'new' } },
  'GET /devices/{device_id}': { roles: READERS },
  'PATCH /devices/{device_id}': {
    roles: ['operator'],
    body: { project_id: 1 },
    types: PATCH_TYPES,
  },
  'GET /firmware': { roles: READERS_AND_DEVICES, query: 'device_id={device_id}' },
  'POST /firmware': { roles: ['device'], body: { version: '1.0.0', timestamp: 1700000000 } },
  'GET /firmware/{device_id}': { roles: READERS_AND_DEVICES },
  'POST /firmware/{device_id}': {
    roles: ['device'],
    body: { firmware: '1.0.0', timestamp: 1700000000 },
    creates: true,
  },
  'GET /webhooks': { roles: ['admin'] },
  'POST /webhooks': {
    roles: ['admin'],
    body: { name: 'new', url: 'http://receiver.invalid/', events: ['job.failed'], is_enabled: false },
  },
  'GET /webhooks/{webhook_id}': { roles: ['admin'] },
  'PATCH /webhooks/{webhook_id}': { roles: ['admin'], body: { name: 'new' }, types: PATCH_TYPES },
  'DELETE /webhooks/{webhook_id}': { roles: ['admin'] },
  'POST /webhooks/{webhook_id}/test': { roles: ['admin'] },
  'GET /webhooks/{webhook_id}/deliveries': { roles: ['admin'] },
  'POST /webhooks/{webhook_id}/deliveries/retry': { roles: ['admin'] },
  'POST /webhooks/{webhook_id}/deliveries/{delivery_id}/retry': { roles: ['admin'] },
  'GET /jobs': { roles: ROLES },
  'GET /jobs/{job_id}': { roles: ROLES },
  'POST /jobs/{job_id}/retry': { roles: OF_PROJECTS },
  'GET /batches': { roles: READERS },
  'POST /batches': { roles: PRODUCERS, body: { batch_id: 'new', objects: [OBJECT] } },
  'GET /batches/{batch_id}': { roles: READERS },
  'PUT /batches/{batch_id}': {
    roles: PRODUCERS,
    body: { objects: [OBJECT] },
    types: ['application/json', 'application/x-ndjson', 'text/csv'],
    creates: true,
  },
  'DELETE /batches/{batch_id}': { roles: ['admin'] },
  'GET /objects': { roles: READERS },
  'DELETE /objects': { roles: ['admin'], query: 'batch_id=no-batch&max_affected=1' },
  'POST /objects': { roles: PRODUCERS, body: { batch_id: 'new', ...OBJECT } },
  'POST /objects/search': { roles: READERS, body: { data: { type: 'shoe' } }, isRead: true },
  'GET /objects/keys': { roles: READERS },
  'GET /objects/facets': { roles: READERS, query: 'key=type' },
  'GET /objects/aggregate': { roles: READERS, query: 'op=count' },
  'GET /objects/export': { roles: READERS },
  'GET /objects/changes': { roles: READERS },
  'GET /objects/{object_id}': { roles: READERS },
  'PUT /objects/{object_id}': { roles: PRODUCERS, body: { data: OBJECT.data } },
  'PATCH /objects/{object_id}': {
    roles: PRODUCERS,
    body: { data: {} },
    types: ['application/merge-patch+json', 'application/json-patch+json'],
  },
  'DELETE /objects/{object_id}': { roles: ['admin'] },
  'GET /deletions': { roles: ['admin'] },
  'POST /deletions/{deletion_id}/restore': { roles: ['admin'] },
  'POST /batches/{batch_id}/restore': { roles: ['admin'] },
  'POST /objects/{object_id}/restore': { roles: ['admin'] },
  'GET /factories': { roles: READERS },
  'POST /factories': { roles: PRODUCERS, body: { factory: { chart_data: CHART } } },
  'GET /factories/{factory_id}': { roles: READERS },
  'GET /sprockets': { roles: READERS },
  'POST /sprockets': { roles: PRODUCERS, body: SPROCKET },
  'GET /sprockets/{sprocket_id}': { roles: READERS },
  'PUT /sprockets/{sprocket_id}': { roles: PRODUCERS, body: SPROCKET },
  'POST /buildings/{building}/rooms/{room}/temperatures': {
    roles: PRODUCERS,
    body: { temperature: 10.5, recorded_at: '2024-12-10T16:45:00' },
    types: ['application/json', 'application/x-ndjson'],
    creates: true,
  },
  'GET /buildings/{building}/rooms/{room}/temperatures': { roles: READERS },
  'GET /buildings/{building}/rooms/{room}/temperatures/average': { roles: READERS, query: 'duration=15m' },
};

/** A route of the table, with its method and path. */
export type Route = { method: string; path: string } & ContractRoute;

/** The routes of the table with their names, for `it.each`. */
export const ROUTES = Object.entries(CONTRACT).map(([name, rules]): [string, Route] => {
  const [method = '', path = ''] = name.split(' ');
  return [name, { method, path, ...rules }];
});

/** The path with the required query. */
export function addressOf({ path, query }: Route): string {
  return query === undefined ? path : `${path}?${query}`;
}

/** The routes under /api/v1 that require no key. */
export const OPEN = ['GET /', 'GET /limits'];

/** The paths of the running server, with `{name}` for an id. Paths that end in a wildcard are omitted. */
export function pathsOf(api: TestApi): string[] {
  const parents: string[] = [];
  const paths: string[] = [];
  for (const line of api.routes.split('\n')) {
    const [, indent = '', part = '', methods] = /^([\s│]*)[├└]── (.*?)(?: \(([A-Z, -]+)\))?$/.exec(line) ?? [];
    if (part === '') continue;
    const depth = indent.length / 4;
    parents[depth] = part;
    const path = parents.slice(0, depth + 1).join('');
    if (methods !== undefined && !path.endsWith('*')) paths.push(path.replace(/:(\w+)/g, '{$1}'));
  }
  return paths;
}

/** Replaces the ids in a path; an id without a value becomes one that does not exist. */
export function fill(path: string, ids: Readonly<Record<string, string | number>> = {}): string {
  return path.replace(/\{(\w+)\}/g, (_, name: string) => String(ids[name] ?? `no-${name}`));
}
