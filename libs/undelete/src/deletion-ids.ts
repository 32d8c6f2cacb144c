import { DiskReserve, Sequence, type Queryable } from '#database';
import { Config } from '#platform';
import { Injectable } from '@nestjs/common';

const KEPT = {
  name: 'undelete.kept',
  text: `SELECT coalesce(sum(deleted_bytes), 0) AS bytes FROM project_usage WHERE project_id = $1`,
};

const HAS_DELETIONS = {
  name: 'undelete.has-deletions',
  text: 'SELECT EXISTS (SELECT FROM deletions WHERE project_id = $1) AS has_deletions',
};

/** Generates the ids of deletions that can be restored. */
@Injectable()
export class DeletionIds {
  constructor(
    private readonly sequence: Sequence,
    private readonly disk: DiskReserve,
    private readonly config: Config,
  ) {}

  /**
   * Null where the deletion keeps nothing: with UNDELETE_HOURS=0, on a disk that is nearly full, which the delete is to free, and where the
   * project has UNDELETE_BYTES_MAX of deleted objects already. Bytes of a project without deletions are wrong: then the deletion is kept,
   * and when it expires maintenance sets them right.
   */
  async next(tx: Queryable, projectId: number): Promise<string | null> {
    const { undeleteHours, undeleteBytesMax } = this.config.limits;
    if (undeleteHours === 0 || this.disk.isLow) return null;
    const [row] = await tx.query<{ bytes: string }>(KEPT, [projectId]);
    const isFull = Number(row?.bytes) >= undeleteBytesMax && (await this.hasDeletions(tx, projectId));
    return isFull ? null : this.sequence.next().toString();
  }

  private async hasDeletions(tx: Queryable, projectId: number): Promise<boolean> {
    const [row] = await tx.query<{ has_deletions: boolean }>(HAS_DELETIONS, [projectId]);
    return row?.has_deletions === true;
  }
}
