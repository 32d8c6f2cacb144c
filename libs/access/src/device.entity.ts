import { Column, Entity, Index, PrimaryColumn } from 'typeorm';

/** What reports about itself with keys of its own. Its id is unique in the installation; its project can change. */
@Entity('devices')
@Index('devices_seq_idx', ['projectId', 'seq'])
export class DeviceEntity {
  @PrimaryColumn('text', { name: 'device_id', collation: 'C', primaryKeyConstraintName: 'devices_pkey' })
  deviceId: string;

  @Column('integer', { name: 'project_id' })
  projectId: number;

  /** Of when it was made; it stays when the device moves. */
  @Column('bigint')
  seq: string;
}
