import type { Role } from '#http';
import { Column, Entity, Index, PrimaryColumn, Unique } from 'typeorm';

/** A key, without the key: only its keyed hash is kept. */
@Entity('api_keys')
@Unique('api_keys_hash_key', ['hash'])
@Index('api_keys_project_idx', ['projectId', 'keyId'])
@Index('api_keys_device_idx', ['deviceId'], { where: 'device_id IS NOT NULL' })
export class ApiKeyEntity {
  /** A sequence number: it orders the keys by when they were made. */
  @PrimaryColumn('bigint', { name: 'key_id', primaryKeyConstraintName: 'api_keys_pkey' })
  keyId: string;

  /** null for an operator's key. */
  @Column('integer', { name: 'project_id', nullable: true })
  projectId: number | null;

  @Column('text')
  role: Role;

  @Column('text')
  name: string;

  /** The beginning of the key, by which its owner recognises it. */
  @Column('text')
  prefix: string;

  @Column('bytea')
  hash: Buffer;

  @Column({ type: 'text', name: 'device_id', collation: 'C', nullable: true })
  deviceId: string | null;

  @Column('timestamptz', { name: 'expires_at', nullable: true })
  expiresAt: Date | null;

  @Column('timestamptz', { name: 'revoked_at', nullable: true })
  revokedAt: Date | null;

  @Column('timestamptz', { name: 'last_used_at', nullable: true })
  lastUsedAt: Date | null;

  /** What a key of the first start is derived from, with the key secret; null for other keys, and after the first use. */
  @Column('bytea', { nullable: true })
  nonce: Buffer | null;
}
