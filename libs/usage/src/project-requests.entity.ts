import { Column, Entity, PrimaryColumn } from 'typeorm';

/** The number of requests of a project. Properties are named like the columns. */
@Entity('project_requests')
export class ProjectRequestsEntity {
  @PrimaryColumn('integer', { primaryKeyConstraintName: 'project_requests_pkey' })
  project_id: number;

  /** As text, like every bigint. */
  @Column('bigint')
  requests: string;
}
