import type { Queryable } from '#database';
import {
  dataKeyIdOfBodyPart,
  EncryptedKeys,
  openBodyPart,
  openValue,
  resultPlace,
  sealBodyPart,
  SEALED_HEAD_BYTES,
  sealValue,
} from '#encryption';
import { Injectable } from '@nestjs/common';
import type { SealedProject } from './sealed-project.store.js';

/** Parts and results that one transaction looks at, and the bytes that it changes, or one larger part. */
const LOOKED_AT = 200;
const CHANGED_BYTES = 4 * 1024 ** 2;

/** The beginning of a sealed result. A result that is not sealed is an object or a list. */
const RESULT_HEAD = /^"\$enc1:([\w-]{8})/;
const RESULT_HEAD_LENGTH = 15;

/** The place of a part, or with the part -1 of the result of a job. */
export interface JobPosition {
  jobId: bigint;
  part: number;
}

export const FIRST_JOB: JobPosition = { jobId: 0n, part: -1 };

interface Row {
  job_id: string;
  part: number;
  head: Buffer;
  bytes: number;
}

/** The parts of bodies and the results after $2 and $3; a result is part -1. Of a failed job the body is kept, which it may be run again with. */
const FIND = {
  name: 'reencryption.find-jobs',
  text: `
    SELECT job_id, part, head, bytes FROM (
      (SELECT p.job_id, p.part, substring(p.bytes FROM 1 FOR ${String(SEALED_HEAD_BYTES)}) AS head, octet_length(p.bytes) AS bytes
        FROM job_parts AS p WHERE p.project_id = $1 AND (p.job_id, p.part) > ($2::bigint, $3::int)
        ORDER BY p.job_id, p.part LIMIT ${String(LOOKED_AT)})
      UNION ALL
      (SELECT j.job_id, -1, convert_to(left(j.result, ${String(RESULT_HEAD_LENGTH)}), 'UTF8'), octet_length(j.result)
        FROM jobs AS j WHERE j.project_id = $1 AND (j.job_id, -1) > ($2::bigint, $3::int) AND j.result IS NOT NULL
        ORDER BY j.job_id LIMIT ${String(LOOKED_AT)})
    ) AS found ORDER BY job_id, part LIMIT ${String(LOOKED_AT)}`,
};

const LOCK_PART = {
  name: 'reencryption.lock-part',
  text: `SELECT bytes FROM job_parts WHERE project_id = $1 AND job_id = $2 AND part = $3 FOR UPDATE`,
};
const UPDATE_PART = {
  name: 'reencryption.update-part',
  text: `UPDATE job_parts SET bytes = $4 WHERE project_id = $1 AND job_id = $2 AND part = $3`,
};
const LOCK_RESULT = {
  name: 'reencryption.lock-result',
  text: `SELECT result FROM jobs WHERE project_id = $1 AND job_id = $2 FOR NO KEY UPDATE`,
};
const UPDATE_RESULT = {
  name: 'reencryption.update-result',
  text: `UPDATE jobs SET result = $3 WHERE project_id = $1 AND job_id = $2`,
};

/** Seals and opens what jobs store: their bodies, and their results. */
@Injectable()
export class SealedJobStore {
  constructor(private readonly encryption: EncryptedKeys) {}

  /** Changes the next ones. @returns the last one that was looked at; null where there are no more */
  async sealNext(tx: Queryable, { projectId, keys }: SealedProject, after: JobPosition): Promise<JobPosition | null> {
    const isSealed = keys.length > 0;
    const rows = await tx.query<Row>(FIND, [projectId, after.jobId.toString(), after.part]);
    let last: JobPosition | null = null;
    let bytes = 0;
    for (const { job_id: jobId, part, head, bytes: size } of rows) {
      if (bytes > 0 && bytes + size > CHANGED_BYTES) break;
      last = { jobId: BigInt(jobId), part };
      const id = part === -1 ? RESULT_HEAD.exec(head.toString())?.[1] : dataKeyIdOfBodyPart(head);
      if (isSealed ? id === this.encryption.current?.id : id == null) continue;
      bytes += size;
      if (part === -1) await this.sealResult(tx, projectId, jobId, isSealed);
      // A stream that became a job has moved to a larger number, which only the next FIND sees.
      else if (!(await this.sealPart(tx, projectId, { jobId, part }, isSealed))) break;
    }
    return last;
  }

  /** @returns false where the part is no longer there */
  private async sealPart(
    tx: Queryable,
    projectId: number,
    { jobId, part }: { jobId: string; part: number },
    isSealed: boolean,
  ): Promise<boolean> {
    const { current, dataKeys } = this.encryption;
    const [row] = await tx.query<{ bytes: Buffer }>(LOCK_PART, [projectId, jobId, part]);
    if (row === undefined) return false;
    if (current === null) return true;
    const place = { projectId, part };
    const opened = await openBodyPart(dataKeys, place, row.bytes);
    const bytes = isSealed ? await sealBodyPart(current, place, opened) : opened;
    await tx.query(UPDATE_PART, [projectId, jobId, part, bytes]);
    return true;
  }

  private async sealResult(tx: Queryable, projectId: number, jobId: string, isSealed: boolean): Promise<void> {
    const { current, dataKeys } = this.encryption;
    const [row] = await tx.query<{ result: string | null }>(LOCK_RESULT, [projectId, jobId]);
    if (row?.result == null || current === null) return;
    const place = resultPlace(projectId, jobId);
    const opened = openValue(dataKeys, place, row.result) ?? row.result;
    await tx.query(UPDATE_RESULT, [projectId, jobId, isSealed ? sealValue(current, place, opened) : opened]);
  }
}
