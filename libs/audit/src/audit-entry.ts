import type { AuditEntryEntity } from './audit-entry.entity.js';

/** The chain of the installation: projects and operator keys. The ids of projects begin with 1. */
export const INSTALLATION = 0;

/** Every action that is recorded; docs/audit.md describes them. The names are part of stored hashes and never change. */
export const AUDIT_ACTIONS = [
  'object.replace',
  'object.update',
  'object.delete',
  'object.restore',
  'objects.replace',
  'objects.delete',
  'objects.expire',
  'objects.restore',
  'batch.replace',
  'batch.delete',
  'batch.restore',
  'key.create',
  'key.update',
  'key.rotate',
  'key.revoke',
  'device.create',
  'device.move',
  'webhook.create',
  'webhook.update',
  'webhook.delete',
  'webhook.retry',
  'project.create',
  'project.update',
  'project.encrypt',
  'project.delete',
  'access.denied',
  'key.canary',
] as const;
export type AuditAction = (typeof AUDIT_ACTIONS)[number];

export const TARGET_TYPES = ['object', 'batch', 'key', 'device', 'project', 'webhook'] as const;
export type TargetType = (typeof TARGET_TYPES)[number];

/** Targets that are data of a project. An operator, who may read no data, does not get their ids. */
export const DATA_TARGETS: readonly TargetType[] = ['object', 'batch'];

/** The actions whose entries contain ids of data. */
export function isAboutData(action: string): boolean {
  const [subject] = action.split('.');
  return DATA_TARGETS.some((type) => subject === type || subject === `${type}s`);
}

/** The columns that the hash of an entry covers, in this order: all but the hash itself. Stored hashes depend on both. */
const HASHED_COLUMNS = [
  'project_id',
  'number',
  'at',
  'actor_key_id',
  'actor_role',
  'actor_name',
  'action',
  'target_type',
  'target_id',
  'details',
  'request_id',
  'address',
] as const satisfies readonly (keyof AuditEntryEntity)[];

export const ENTRY_COLUMNS = [...HASHED_COLUMNS, 'hash'] as const satisfies readonly (keyof AuditEntryEntity)[];

/** SQL of a time as text: in UTC with six digits of a second, whatever the time zone of the session is. Stored hashes depend on it. */
export function timeTextSql(time: string): string {
  return `to_char(${time} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')`;
}

/**
 * SQL of the hash of an entry: SHA-256 of the previous hash of the chain and the columns of the entry as text. Each value follows
 * its length in bytes (`5:admin`) and a null is `-`, so that different entries never have the same bytes.
 * @param previous SQL of the hash of the entry before; of the first entry it is empty
 * @param row the alias of a row with the columns of an entry
 */
export function hashSql(previous: string, row: string): string {
  const fields = HASHED_COLUMNS.map((column) => {
    const value = `${row}.${column}`;
    const text = column === 'at' ? timeTextSql(value) : `${value}::text`;
    return `coalesce(octet_length(${text}) || ':' || ${text}, '-')`;
  });
  return `sha256(${previous} || convert_to(${fields.join(' || ')}, 'UTF8'))`;
}
