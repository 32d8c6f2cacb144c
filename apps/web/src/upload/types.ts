import type { Problem } from '../api/types.js';

interface Rejections {
  stored: number;
  rejected: number;
  errors?: NonNullable<Problem['errors']>;
  error_count?: number;
}

/** The result of a dry run. */
export interface DryRun extends Rejections {
  outcome: 'create' | 'none' | 'replace' | 'extend';
  /** Left out for a producer with `on_conflict=skip`. */
  object_count?: number;
}

/** The result of a write: of the whole batch, or of the valid objects. */
export interface Stored extends Partial<Rejections> {
  batch_id: string;
  object_count?: number;
}
