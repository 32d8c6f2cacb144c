import { Column, Entity, Index, PrimaryColumn, Unique } from 'typeorm';

/** Of PostgreSQL's integer. */
export const PROJECT_ID_MAX = 2 ** 31 - 1;

/** A tenant. */
@Entity('projects')
@Unique('projects_name_key', ['name'])
@Index('projects_seq_idx', ['seq'])
export class ProjectEntity {
  /** Drawn at random: a running number would tell one tenant how many others there are. */
  @PrimaryColumn('integer', { name: 'project_id', primaryKeyConstraintName: 'projects_pkey' })
  projectId: number;

  @Column('bigint')
  seq: string;

  @Column({ type: 'text', collation: 'C' })
  name: string;

  /** When the fixtures were loaded into it; null for never. */
  @Column('timestamptz', { name: 'seeded_at', nullable: true })
  seededAt: Date | null;
}
