import type { Queryable } from '#database';
import { Injectable } from '@nestjs/common';
import type { Actor } from './actor.js';
import { ENTRY_COLUMNS, hashSql, INSTALLATION, type AuditAction, type TargetType } from './audit-entry.js';

/** How many ids the details of an entry list. */
export const IDS_MAX = 100;
/** Bytes of these ids in JSON, because an id has up to 1,020 bytes, and the entries are in no quota. */
const IDS_BYTES_MAX = 2_048;

export interface NewAuditEntry {
  /** The project whose chain gets the entry; null for that of the installation. */
  projectId: number | null;
  actor: Actor;
  action: AuditAction;
  /** Absent for an action on several objects, and for a denied request. */
  target?: { type: TargetType; id: string };
  /** Counts, ids, old and new names; never the content of objects, and never a key. */
  details?: Readonly<Record<string, unknown>>;
}

/**
 * Appends entries to a chain in one statement: locks the head of the chain until the transaction ends, computes number, time and
 * hash of each entry from the one before, and moves the head. $2 is a JSON array of entries, read by position. No row where the
 * chain does not exist.
 */
const APPEND = {
  name: 'audit.append',
  text: `
    WITH RECURSIVE head AS MATERIALIZED (
      SELECT entries, hash, greatest(at, statement_timestamp()) AS at
      FROM audit_chains WHERE project_id = $1::int FOR UPDATE
    ),
    chain AS (
      SELECT entries AS number, hash, at, NULL::jsonb AS entry, 0 AS count FROM head
      UNION ALL
      SELECT e.number, ${hashSql('e.previous', 'e')}, e.at, e.entry, e.count
      FROM (
        SELECT $1::int AS project_id, number + 1 AS number, at, entry, count, previous,
          entry ->> 'actor_key_id' AS actor_key_id, entry ->> 'actor_role' AS actor_role,
          entry ->> 'actor_name' AS actor_name, entry ->> 'action' AS action,
          entry ->> 'target_type' AS target_type, entry ->> 'target_id' AS target_id,
          entry ->> 'details' AS details, entry ->> 'request_id' AS request_id, entry ->> 'address' AS address
        FROM (SELECT number, at, hash AS previous, $2::jsonb -> count AS entry, count + 1 AS count FROM chain) AS next
        WHERE entry IS NOT NULL
      ) AS e
    ),
    moved AS (
      UPDATE audit_chains AS c SET entries = last.number, hash = last.hash, at = last.at
      FROM (SELECT number, hash, at FROM chain ORDER BY count DESC LIMIT 1) AS last
      WHERE c.project_id = $1::int
    )
    INSERT INTO audit_entries (${ENTRY_COLUMNS.join(', ')})
    SELECT $1::int, number, at, (entry ->> 'actor_key_id')::bigint, entry ->> 'actor_role', entry ->> 'actor_name',
      entry ->> 'action', entry ->> 'target_type', entry ->> 'target_id', entry ->> 'details', entry ->> 'request_id',
      entry ->> 'address', hash
    FROM chain WHERE count > 0
    RETURNING number`,
};

const CREATE_CHAIN = `
  INSERT INTO audit_chains (project_id, entries, hash, at) VALUES ($1, 0, '', '-infinity') ON CONFLICT DO NOTHING`;

/**
 * Records actions in the transaction that does them. The head of a chain is the last lock that a transaction takes: it waits for
 * nothing while it holds it, so transactions of any kind never deadlock over it, and they hold it only for their commit.
 */
@Injectable()
export class AuditLog {
  /** Call it as the last statement of the transaction, after the receipt. Appends nothing without entries. */
  async append(tx: Queryable, ...entries: readonly NewAuditEntry[]): Promise<void> {
    const chains = new Set(entries.map(chainOf));
    // In one order, so that two transactions with entries of the same two chains do not deadlock.
    for (const chain of [...chains].sort((a, b) => a - b)) {
      const own = entries.filter((entry) => chainOf(entry) === chain);
      await this.appendTo(tx, chain, `[${own.map(entryText).join()}]`);
    }
  }

  private async appendTo(tx: Queryable, chain: number, entries: string): Promise<void> {
    if ((await tx.query(APPEND, [chain, entries])).length > 0) return;
    await tx.query(CREATE_CHAIN, [chain]);
    if ((await tx.query(APPEND, [chain, entries])).length === 0) throw new Error('the audit chain does not exist');
  }
}

/**
 * The first ids of a list, for the details of an entry, which has the number of all in another member: at most 100, and at most
 * 2 KiB.
 */
export function boundedIds(ids: readonly string[]): string[] {
  let bytes = 0;
  const first = ids.slice(0, IDS_MAX);
  const end = first.findIndex((id) => (bytes += Buffer.byteLength(JSON.stringify(id))) > IDS_BYTES_MAX);
  return end === -1 ? first : first.slice(0, end);
}

function chainOf({ projectId }: NewAuditEntry): number {
  return projectId ?? INSTALLATION;
}

function entryText({ actor, action, target, details = {} }: NewAuditEntry): string {
  return JSON.stringify({
    actor_key_id: actor.keyId,
    actor_role: actor.role,
    actor_name: storable(actor.name),
    action,
    target_type: target?.type ?? null,
    target_id: target === undefined ? null : storable(target.id),
    details: JSON.stringify(details),
    request_id: actor.requestId,
    address: actor.address === null ? null : storable(actor.address),
  });
}

/** PostgreSQL's text has no U+0000, and UTF-8 no lone surrogates. An entry with them must not fail its action. */
function storable(text: string): string {
  return text.toWellFormed().replaceAll('\0', '\ufffd');
}
