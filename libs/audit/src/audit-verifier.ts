import { Database } from '#database';
import { Injectable } from '@nestjs/common';
import { hashSql } from './audit-entry.js';

/** Entries that one query checks. Their hashes are computed by PostgreSQL, so memory does not grow with the chain. */
const CHUNK_ENTRIES = 10_000;
const FAULTS_MAX = 100;

/** Chains with entries or with a head. */
const CHAINS = `
  SELECT DISTINCT project_id FROM audit_entries UNION SELECT project_id FROM audit_chains ORDER BY project_id`;

/** In one statement, so that both are of the same state while entries are appended. */
const HEAD = `
  SELECT coalesce(c.entries, 0) AS number, coalesce(c.hash, '') AS hash,
    coalesce((SELECT max(e.number) FROM audit_entries AS e WHERE e.project_id = $1), 0) AS last
  FROM (SELECT $1::int AS project_id) AS p LEFT JOIN audit_chains AS c USING (project_id)`;

/** The entries of a chunk that are not as their hash says, or that do not follow the one before, and the last entry. */
const CHECK = `
  WITH chunk AS (
    SELECT * FROM audit_entries WHERE project_id = $1 AND number > $2 AND number <= $3
    ORDER BY number LIMIT ${String(CHUNK_ENTRIES)}
  ),
  checked AS (
    SELECT number, hash, lag(number, 1, $2::bigint) OVER w AS previous,
      hash = ${hashSql('lag(hash, 1, $4::bytea) OVER w', 'chunk')} AS is_valid,
      row_number() OVER w = count(*) OVER () AS is_last
    FROM chunk WINDOW w AS (ORDER BY number)
  )
  SELECT number, previous, is_valid, is_last, hash FROM checked
  WHERE NOT is_valid OR number <> previous + 1 OR is_last ORDER BY number`;

interface CheckedRow {
  number: string;
  previous: string;
  is_valid: boolean;
  is_last: boolean;
  hash: Buffer;
}

/** The head of a chain that was noted earlier. */
export interface KnownHead {
  number: bigint;
  /** In hexadecimal. */
  hash: string;
}

/** The result for one chain. */
export interface ChainReport {
  /** 0 for the installation. */
  projectId: number;
  head: KnownHead;
  /** What is wrong, in the order of the entries; the first 100. */
  faults: string[];
}

/** Computes the hashes of the audit log again. */
@Injectable()
export class AuditVerifier {
  constructor(private readonly database: Database) {}

  /** The chains of the installation and of all projects that have one. */
  async listChains(): Promise<number[]> {
    const rows = await this.database.query<{ project_id: number }>(CHAINS);
    return rows.map((row) => row.project_id);
  }

  /**
   * Checks one chain up to its head. Entries that are appended meanwhile are not checked.
   * @param known a head noted earlier, which shows whether the chain was replaced by another one since
   */
  async verify(projectId: number, known?: KnownHead): Promise<ChainReport> {
    const [row] = await this.database.query<{ number: string; hash: Buffer; last: string }>(HEAD, [projectId]);
    if (row === undefined) throw new Error('a query without FROM rows returned none');
    const head = { number: BigInt(row.number), hash: row.hash.toString('hex') };
    const faults = new Faults();
    const last = await this.check(projectId, head.number, faults);
    if (last.number < head.number) faults.addMissing(last.number + 1n, head.number);
    else if (last.hash !== head.hash) {
      faults.add(`the head of the chain does not match entry ${String(last.number)}`);
    }
    if (BigInt(row.last) > head.number) {
      faults.add(`entry ${row.last} is after the head of the chain, entry ${String(head.number)}`);
    }
    if (known !== undefined) await this.checkKnown(projectId, known, faults);
    return { projectId, head, faults: faults.listed };
  }

  /** @returns the last entry up to `until` */
  private async check(projectId: number, until: bigint, faults: Faults): Promise<KnownHead> {
    let last = { number: 0n, hash: '' };
    for (;;) {
      const values = [projectId, last.number.toString(), until.toString(), Buffer.from(last.hash, 'hex')];
      const rows = await this.database.query<CheckedRow>(CHECK, values);
      for (const { number, previous, is_valid } of rows) {
        const [own, before] = [BigInt(number), BigInt(previous)];
        // The hash cannot be checked without the entry before.
        if (own !== before + 1n) faults.addMissing(before + 1n, own - 1n);
        else if (!is_valid)
          faults.add(`entry ${number} does not match its hash: it, or the entry before it, was changed`);
      }
      const end = rows.at(-1);
      if (end === undefined) return last;
      last = { number: BigInt(end.number), hash: end.hash.toString('hex') };
    }
  }

  private async checkKnown(projectId: number, known: KnownHead, faults: Faults): Promise<void> {
    const [entry] = await this.database.query<{ hash: Buffer }>(
      'SELECT hash FROM audit_entries WHERE project_id = $1 AND number = $2',
      [projectId, known.number.toString()],
    );
    const hash = known.number === 0n ? '' : entry?.hash.toString('hex');
    if (hash === undefined) faults.add(`entry ${String(known.number)}, the known head, is missing`);
    else if (hash !== known.hash) {
      faults.add(`entry ${String(known.number)} does not have the hash of the known head: the chain was written again`);
    }
  }
}

class Faults {
  readonly listed: string[] = [];

  add(fault: string): void {
    if (this.listed.length < FAULTS_MAX) this.listed.push(fault);
  }

  addMissing(first: bigint, last: bigint): void {
    this.add(
      first === last ? `entry ${String(first)} is missing` : `entries ${String(first)} to ${String(last)} are missing`,
    );
  }
}
