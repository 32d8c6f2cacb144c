import { Column, Entity, Index, PrimaryColumn } from 'typeorm';
import { columns } from './columns.js';

/**
 * A row of `batches`. Properties are named like the columns. A bigint is text, because a JavaScript number is exact to 2^53 only.
 * The migrations create the table; a test compares it with this class.
 */
@Entity('batches')
@Index('batches_seq_idx', columns(BatchEntity, 'project_id', 'seq'))
export class BatchEntity {
  @PrimaryColumn('integer', { primaryKeyConstraintName: 'batches_pkey' })
  project_id: number;

  @PrimaryColumn('text', { primaryKeyConstraintName: 'batches_pkey', collation: 'C' })
  batch_id: string;

  /** The sequence number that the batch was created with: its position in lists, and its time of creation. */
  @Column('bigint')
  seq: string;

  @Column('bigint')
  object_count: string;

  /** A sequence number; every change to the batch or to one of its objects sets another one. */
  @Column('bigint')
  revision: string;

  /** SHA-256 of the batch's objects; null until it is needed, and again after each change. */
  @Column('bytea', { nullable: true })
  digest: Buffer | null;

  /** The revision of the last time that all of its objects were replaced; null where they never were. */
  @Column('bigint', { nullable: true })
  replaced_seq: string | null;

  /** No longer used; see docs/decisions/018. */
  @Column('bigint', { default: 0 })
  rewritten: string;
}
