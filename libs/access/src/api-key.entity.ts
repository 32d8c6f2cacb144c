import type { Role } from '#http';
import { Column, Entity, Index, PrimaryColumn, Unique } from 'typeorm';

/** An API key; of the key itself only a keyed hash is stored. Properties are named like the columns. */
@Entity('api_keys')
@Unique('api_keys_hash_key', ['hash'])
@Index('api_keys_project_idx', ['project_id', 'key_id'])
@Index('api_keys_device_idx', ['device_id'], { where: 'device_id IS NOT NULL' })
export class ApiKeyEntity {
  /** A sequence number, as text; it contains the time of creation. */
  @PrimaryColumn('bigint', { primaryKeyConstraintName: 'api_keys_pkey' })
  key_id: string;

  /** null for an operator key. */
  @Column('integer', { nullable: true })
  project_id: number | null;

  @Column('text')
  role: Role;

  @Column('text')
  name: string;

  /** The first characters of the key, by which its owner recognizes it. */
  @Column('text')
  prefix: string;

  @Column('bytea')
  hash: Buffer;

  /** The id of the secret of the hash; null where it is unknown, until the next use. */
  @Column('text', { nullable: true })
  secret_id: string | null;

  /** The device of a key with the role device; null for every other role. */
  @Column({ type: 'text', collation: 'C', nullable: true })
  device_id: string | null;

  @Column('timestamptz', { nullable: true })
  expires_at: Date | null;

  @Column('timestamptz', { nullable: true })
  revoked_at: Date | null;

  /** To the minute. */
  @Column('timestamptz', { nullable: true })
  last_used_at: Date | null;

  /** Requests with a canary key are rejected like those with an unknown one, and raise an alert. */
  @Column('boolean', { default: false })
  canary: boolean;

  /** A key of the first start is derived from it and the key secret; null for other keys, and after the first use. */
  @Column('bytea', { nullable: true })
  nonce: Buffer | null;
}
