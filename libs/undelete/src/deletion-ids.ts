import { Sequence } from '#database';
import { Config } from '#platform';
import { Injectable } from '@nestjs/common';

/** Generates the ids of deletions that can be restored. */
@Injectable()
export class DeletionIds {
  constructor(
    private readonly sequence: Sequence,
    private readonly config: Config,
  ) {}

  /** Null where nothing is kept, because UNDELETE_HOURS is 0. */
  next(): string | null {
    return this.config.limits.undeleteHours === 0 ? null : this.sequence.next().toString();
  }
}
