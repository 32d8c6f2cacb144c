import { Column, Entity, Index, PrimaryColumn, Unique } from 'typeorm';

/** A tenant. Properties are named like the columns. */
@Entity('projects')
@Unique('projects_name_key', ['name'])
@Index('projects_seq_idx', ['seq'])
@Index('projects_encryption_idx', ['project_id'], { where: 'encryption_key_id IS NOT NULL' })
@Index('projects_is_default_idx', ['is_default'], { unique: true, where: 'is_default = true' })
export class ProjectEntity {
  /** Random: consecutive numbers would reveal to one tenant how many others exist. */
  @PrimaryColumn('integer', { primaryKeyConstraintName: 'projects_pkey' })
  project_id: number;

  /** A sequence number, as text; it contains the time of creation. */
  @Column('bigint')
  seq: string;

  @Column({ type: 'text', collation: 'C' })
  name: string;

  /** When the fixtures were loaded; null for never. */
  @Column('timestamptz', { nullable: true })
  seeded_at: Date | null;

  /** Whether it is the project of the first start, which commands use without `--project`, whatever its name is. */
  @Column('boolean', { default: false })
  is_default: boolean;

  /** The largest number of objects, as text; null for the default of the installation. */
  @Column('bigint', { nullable: true })
  objects_max: string | null;

  /** The largest sum of the sizes of all objects in bytes, as text; null for the default of the installation. */
  @Column('bigint', { nullable: true })
  bytes_max: string | null;

  /** How many days objects are kept after `observed_at`; null for ever. */
  @Column('integer', { nullable: true })
  retention_days: number | null;

  /** The keys whose values are encrypted; null for none. */
  @Column('text', { array: true, nullable: true })
  encrypted_keys: string[] | null;

  /** Keys that were encrypted and whose values are still to be opened; null for none. */
  @Column('text', { array: true, nullable: true })
  encryption_removed_keys: string[] | null;

  /** The id of the data key of the sealed values before the last rotation has ended; null where nothing is sealed. */
  @Column('text', { nullable: true })
  encryption_key_id: string | null;

  /** The sequence number, as text, after which stored objects have to be sealed or opened; null for none. */
  @Column('bigint', { nullable: true })
  encryption_cursor: string | null;

  /** When the list was changed, or the values began to be sealed with another data key; the stored objects are sealed after that. */
  @Column('timestamptz', { nullable: true })
  encryption_changed_at: Date | null;

  /** The process that seals and opens the stored values; null for none. */
  @Column('uuid', { nullable: true })
  encryption_holder: string | null;

  /** When another process may take over, or since when none has the project. */
  @Column('timestamptz', { nullable: true })
  encryption_leased_until: Date | null;
}
