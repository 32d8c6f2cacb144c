import type { Role } from '#http';
import { Column, Entity, PrimaryColumn } from 'typeorm';

/** A key, without the key: only its keyed hash is kept. */
@Entity('api_keys')
export class ApiKeyEntity {
  /** A sequence number: it orders the keys by when they were made. */
  @PrimaryColumn('bigint', { name: 'key_id' })
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

  @Column('text', { name: 'device_id', nullable: true })
  deviceId: string | null;

  @Column('timestamptz', { name: 'expires_at', nullable: true })
  expiresAt: Date | null;

  @Column('timestamptz', { name: 'revoked_at', nullable: true })
  revokedAt: Date | null;

  @Column('timestamptz', { name: 'last_used_at', nullable: true })
  lastUsedAt: Date | null;
}
