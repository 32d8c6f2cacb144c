import { Column, Entity, Index, PrimaryColumn } from 'typeorm';

/** An entry of the audit log. Rows are inserted and never changed or deleted. Properties are named like the columns. */
@Entity('audit_entries')
@Index('audit_entries_at_idx', ['project_id', 'at'])
@Index('audit_entries_actor_idx', ['project_id', 'actor_key_id', 'number'], { where: 'actor_key_id IS NOT NULL' })
@Index('audit_entries_action_idx', ['project_id', 'action', 'number'])
@Index('audit_entries_target_idx', ['project_id', 'target_id', 'number'], { where: 'target_id IS NOT NULL' })
export class AuditEntryEntity {
  /** The chain of the entry; 0 is the installation. Without a foreign key, because an entry outlives what it is about. */
  @PrimaryColumn('integer', { primaryKeyConstraintName: 'audit_entries_pkey' })
  project_id: number;

  /** 1, 2, 3, … in each chain; a bigint is text. */
  @PrimaryColumn('bigint', { primaryKeyConstraintName: 'audit_entries_pkey' })
  number: string;

  /** When the entry was appended; never before the entry with a lower number. */
  @Column('timestamptz')
  at: string;

  @Column('bigint', { nullable: true })
  actor_key_id: string | null;

  @Column('text', { nullable: true })
  actor_role: string | null;

  @Column('text')
  actor_name: string;

  @Column('text')
  action: string;

  @Column('text', { nullable: true })
  target_type: string | null;

  @Column({ type: 'text', collation: 'C', nullable: true })
  target_id: string | null;

  /** A JSON object. As text, because the hash covers its bytes. */
  @Column('text')
  details: string;

  @Column('text', { nullable: true })
  request_id: string | null;

  @Column('text', { nullable: true })
  address: string | null;

  /** SHA-256 of the previous hash of the chain and this entry; see `hashSql`. */
  @Column('bytea')
  hash: Buffer;
}
