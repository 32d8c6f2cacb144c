import { Column, Entity, PrimaryColumn } from 'typeorm';

/** Of PostgreSQL's integer. */
export const PROJECT_ID_MAX = 2 ** 31 - 1;

/** A tenant. */
@Entity('projects')
export class ProjectEntity {
  /** Drawn at random: a running number would tell one tenant how many others there are. */
  @PrimaryColumn('integer', { name: 'project_id' })
  projectId: number;

  @Column('bigint')
  seq: string;

  @Column('text')
  name: string;

  /** When the fixtures were loaded into it; null for never. */
  @Column('timestamptz', { name: 'seeded_at', nullable: true })
  seededAt: Date | null;
}
