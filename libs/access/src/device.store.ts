import { Config } from '#platform';
import { Database, timeOfSeq, type Queryable, readPage, type Count, type ListSql, type Slice } from '#database';
import type { PageRequest } from '#http';
import { Injectable } from '@nestjs/common';
import { InjectRepository } from '@nestjs/typeorm';
import { Repository } from 'typeorm';
import type { DeviceDto } from './device.dto.js';
import { DeviceEntity } from './device.entity.js';

const DEVICE_COLUMNS = ['device_id', 'project_id', 'seq'] as const satisfies readonly (keyof DeviceEntity)[];

const INSERT = `INSERT INTO devices (${DEVICE_COLUMNS.join(', ')}) VALUES ($1, $2, $3)`;

/** While a key of the device is created, the device stays in its project; a move waits, and then revokes that key too. */
const LOCK_SHARED = `SELECT FROM devices WHERE device_id = $1 AND project_id = $2 FOR SHARE`;

const LOCK = `SELECT ${DEVICE_COLUMNS.join(', ')} FROM devices WHERE device_id = $1 FOR UPDATE`;

const MOVE = `UPDATE devices SET project_id = $2 WHERE device_id = $1`;

const DELETE_OF_PROJECT = `
  WITH deleted AS (DELETE FROM devices WHERE project_id = $1 RETURNING device_id)
  SELECT count(*)::int AS count FROM deleted`;

@Injectable()
export class DeviceStore {
  constructor(
    @InjectRepository(DeviceEntity) private readonly devices: Repository<DeviceEntity>,
    private readonly database: Database,
    private readonly config: Config,
  ) {}

  async insert({ device_id, project_id, seq }: DeviceEntity, tx: Queryable): Promise<void> {
    await tx.query(INSERT, [device_id, project_id, seq]);
  }

  /** Returns null for a device that does not exist or belongs to another project. */
  async find(projectId: number, deviceId: string): Promise<DeviceDto | null> {
    const device = await this.devices.findOneBy({ project_id: projectId, device_id: deviceId });
    return device === null ? null : toDeviceDto(device);
  }

  /** Lists the devices of a project, newest first. */
  async list(
    projectId: number,
    page: PageRequest,
  ): Promise<{ slice: Slice<DeviceDto & { seq: string }>; count: Count }> {
    const list: ListSql = {
      select: DEVICE_COLUMNS.join(', '),
      from: 'devices',
      where: 'project_id = $1',
      seq: 'seq',
      values: [projectId],
    };
    const { countCap } = this.config.limits;
    const { slice, count } = await readPage<DeviceEntity>(this.database, list, page, countCap);
    const items = slice.items.map((device) => ({ seq: device.seq, ...toDeviceDto(device) }));
    return { slice: { ...slice, items }, count };
  }

  /** Keeps a device in its project until the end of the transaction. Returns whether the project has it. */
  async lockShared(projectId: number, deviceId: string, tx: Queryable): Promise<boolean> {
    return (await tx.query(LOCK_SHARED, [deviceId, projectId])).length > 0;
  }

  /** Locks a device of any project until the end of the transaction. */
  async lock(deviceId: string, tx: Queryable): Promise<DeviceDto | null> {
    const [device] = await tx.query<DeviceEntity>(LOCK, [deviceId]);
    return device === undefined ? null : toDeviceDto(device);
  }

  async move(deviceId: string, projectId: number, tx: Queryable): Promise<void> {
    await tx.query(MOVE, [deviceId, projectId]);
  }

  /** Deletes all devices of a project. @returns their number */
  async deleteOfProject(projectId: number, tx: Queryable): Promise<number> {
    const [row] = await tx.query<{ count: number }>(DELETE_OF_PROJECT, [projectId]);
    return row?.count ?? 0;
  }
}

function toDeviceDto({ device_id, project_id, seq }: DeviceEntity): DeviceDto {
  return { device_id, project_id, created_at: timeOfSeq(seq) };
}
