import { Column, Entity, Index, PrimaryColumn } from 'typeorm';

/** A device, which sends data with keys of its own. Properties are named like the columns. */
@Entity('devices')
@Index('devices_seq_idx', ['project_id', 'seq'])
export class DeviceEntity {
  /** Unique in the installation. */
  @PrimaryColumn('text', { collation: 'C', primaryKeyConstraintName: 'devices_pkey' })
  device_id: string;

  /** Changes when the operator moves the device. */
  @Column('integer')
  project_id: number;

  /** A sequence number, as text; it contains the time of creation. */
  @Column('bigint')
  seq: string;
}
