import type { FilterColumns } from '#filter';

/** The columns of `objects AS o` that filters refer to. */
export const OBJECT_FILTER_COLUMNS: FilterColumns = {
  data: 'o.data',
  batchId: 'o.batch_id',
  subject: 'o.subject',
  observedAt: 'o.observed_at',
};
