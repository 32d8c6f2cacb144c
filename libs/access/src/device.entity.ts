import { Column, Entity, PrimaryColumn } from 'typeorm';

/** What reports about itself with keys of its own. Its id is unique in the installation; its project can change. */
@Entity('devices')
export class DeviceEntity {
  @PrimaryColumn('text', { name: 'device_id' })
  deviceId: string;

  @Column('integer', { name: 'project_id' })
  projectId: number;

  /** Of when it was made; it stays when the device moves. */
  @Column('bigint')
  seq: string;
}
