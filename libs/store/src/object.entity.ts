import { Column, Entity, Index, PrimaryColumn, Unique } from 'typeorm';
import { columns } from './columns.js';

/** The key whose numbers `measure` holds. */
export const MEASURED_KEY = 'temperature';

/** An index that TypeORM cannot describe in full; the migrations have the rest of its definition. */
const PARTLY_DESCRIBED = { synchronize: false };

/**
 * A row of `objects`. Properties are named like the columns. The migrations make the table; a test compares it with this class.
 *
 * Repositories read this entity, and SQL in the stores writes it. TypeORM would encode the text of `data` a second time
 * and cut `observed_at` to milliseconds, so repositories do not write `data` and do not read `observed_at`.
 */
@Entity('objects')
@Unique('objects_object_id_key', columns(ObjectEntity, 'project_id', 'object_id'))
@Index('objects_seq_idx', columns(ObjectEntity, 'project_id', 'seq'))
// With INCLUDE (measure).
@Index('objects_observed_idx', columns(ObjectEntity, 'project_id', 'observed_at', 'seq'))
@Index('objects_subject_idx', columns(ObjectEntity, 'project_id', 'subject', 'observed_at', 'seq'), {
  ...PARTLY_DESCRIBED,
  where: 'subject IS NOT NULL',
})
// `data` with the operator class jsonb_path_ops; `project_id` by the extension btree_gin.
@Index('objects_data_idx', columns(ObjectEntity, 'project_id', 'data'), { ...PARTLY_DESCRIBED, type: 'gin' })
export class ObjectEntity {
  @PrimaryColumn('integer', { primaryKeyConstraintName: 'objects_pkey' })
  project_id: number;

  @PrimaryColumn('text', { primaryKeyConstraintName: 'objects_pkey', collation: 'C' })
  batch_id: string;

  /** A sequence number, as text: the order in which objects arrived, and the position of a page. */
  @PrimaryColumn('bigint', { primaryKeyConstraintName: 'objects_pkey' })
  seq: string;

  @Column({ type: 'text', collation: 'C' })
  object_id: string;

  @Column({ type: 'text', collation: 'C', nullable: true })
  subject: string | null;

  /** RFC 3339 in UTC, with microseconds. */
  @Column({ type: 'timestamptz', select: false, insert: false, update: false })
  observed_at: string;

  /** JSON text of a list of `{"key", "value"}`, which keeps every digit of a number. */
  @Column({ type: 'jsonb', insert: false, update: false })
  data: string;

  /**
   * The number under `MEASURED_KEY`, so that an index can hold it; null for none. NaN, which JSON does not have, means that
   * `data` must be read: it has several such numbers, or one that is too long for an index. PostgreSQL generates it from
   * `data` (migration 004). The expression is not repeated here: with one, TypeORM keeps a table `typeorm_metadata`.
   */
  @Column({
    type: 'numeric',
    nullable: true,
    select: false,
    insert: false,
    update: false,
  })
  measure: string | null;
  /**
   * The size of `data` as it was sent, as a list of pairs without the shorthand, in bytes. Of objects that were stored before
   * migration 009 the size that PostgreSQL gives the text.
   */
  @Column({ type: 'integer', select: false, insert: false, update: false })
  bytes: number;
}
