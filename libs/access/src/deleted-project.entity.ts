import { Column, Entity, Index, PrimaryColumn } from 'typeorm';

/** A project that was deleted. The row is kept, so that its id is never used again. Properties are named like the columns. */
@Entity('deleted_projects')
@Index('deleted_projects_finished_idx', ['finished_at'])
export class DeletedProjectEntity {
  @PrimaryColumn('integer', { primaryKeyConstraintName: 'deleted_projects_pkey' })
  project_id: number;

  @Column('timestamptz')
  deleted_at: string;

  /** When the job had deleted all rows; null before. */
  @Column('timestamptz', { nullable: true })
  finished_at: string | null;

  /** How many rows of each table were deleted until now, as JSON text. */
  @Column('jsonb')
  counts: string;
}
