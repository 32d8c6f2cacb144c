import { Check, Column, Entity, PrimaryColumn } from 'typeorm';

/** One of the up to 32 rows whose sum is the usage of a project; see docs/decisions/021. Properties are named like the columns. */
@Entity('project_usage')
@Check('project_usage_objects_check', 'objects <= objects_share')
@Check('project_usage_bytes_check', 'bytes <= bytes_share')
export class ProjectUsageEntity {
  @PrimaryColumn('integer', { primaryKeyConstraintName: 'project_usage_pkey' })
  project_id: number;

  @PrimaryColumn('smallint', { primaryKeyConstraintName: 'project_usage_pkey' })
  shard: number;

  /** As text, like every bigint; negative where connections of this row deleted what others added. */
  @Column('bigint')
  objects: string;

  /** The sizes of the objects' data in bytes. */
  @Column('bigint')
  bytes: string;

  /** The largest `objects` of this row; null without a limit. */
  @Column('bigint', { nullable: true })
  objects_share: string | null;

  /** The largest `bytes` of this row; null without a limit. */
  @Column('bigint', { nullable: true })
  bytes_share: string | null;

  /** What deleted objects take that can be restored; see docs/decisions/038. */
  @Column('bigint', { default: 0 })
  deleted_bytes: string;
}
