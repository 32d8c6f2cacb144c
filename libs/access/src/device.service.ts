import { Config } from '#platform';
import {
  countRows,
  Problem,
  readSlice,
  type Count,
  type ListSql,
  type PageRequest,
  type Principal,
  type Slice,
} from '#http';
import { Database, isUniqueViolation, Sequence, timeOfSeq } from '#database';
import { Injectable } from '@nestjs/common';
import { InjectRepository } from '@nestjs/typeorm';
import { Repository } from 'typeorm';
import type { CreatedDeviceDto, DeviceDto, MovedDeviceDto } from './device.dto.js';
import { DeviceEntity } from './device.entity.js';
import { KeyService } from './key.service.js';

const INSERT = `INSERT INTO devices (project_id, device_id, seq) VALUES ($1, $2, $3)`;

/** Who makes a key of the device holds it FOR SHARE: so no key of the old project is stored after a move has revoked them. */
const LOCK = `
  SELECT d.project_id, EXISTS (SELECT FROM projects WHERE project_id = $2::int) AS is_project
  FROM devices AS d WHERE d.device_id = $1::text FOR UPDATE OF d`;

const MOVE = `UPDATE devices SET project_id = $2 WHERE device_id = $1`;

@Injectable()
export class DeviceService {
  constructor(
    @InjectRepository(DeviceEntity) private readonly devices: Repository<DeviceEntity>,
    private readonly keys: KeyService,
    private readonly database: Database,
    private readonly sequence: Sequence,
    private readonly config: Config,
  ) {}

  /**
   * Makes a device together with its first key; the answer is the only place where that is ever seen.
   * @throws Problem conflict when there is a device of this id in any project; it does not say in which
   */
  async create(projectId: number, deviceId: string): Promise<CreatedDeviceDto> {
    const seq = this.sequence.next().toString();
    try {
      return await this.database.transaction(async (tx) => {
        await tx.query(INSERT, [projectId, deviceId, seq]);
        const made = { projectId, role: 'device', name: 'made with the device', deviceId } as const;
        const { key_id, key } = await this.keys.create(made, tx);
        return { device_id: deviceId, key_id, key };
      });
    } catch (error) {
      if (!isUniqueViolation(error)) throw error;
      throw new Problem('conflict', {
        detail: `There is a device "${deviceId}" already.`,
        errors: [{ pointer: '/device_id', detail: `"${deviceId}" exists already` }],
      });
    }
  }

  async find(projectId: number, deviceId: string): Promise<DeviceDto | null> {
    const device = await this.devices.findOneBy({ projectId, deviceId });
    return device === null ? null : { device_id: deviceId, created_at: timeOfSeq(device.seq) };
  }

  /** @throws Problem not-found, the same for a device of another project */
  async get(projectId: number, deviceId: string): Promise<DeviceDto> {
    const device = await this.find(projectId, deviceId);
    if (device === null) throw noSuchDevice();
    return device;
  }

  /**
   * Of a device, only the one that asks.
   * @throws Problem not-found: one answer for what does not exist, is another project's, or is another device
   */
  async requireReadable({ projectId, role, deviceId: own }: Principal, deviceId: string): Promise<void> {
    const isOthers = role === 'device' && own !== deviceId;
    if (projectId === null || isOthers || (await this.find(projectId, deviceId)) === null) throw noSuchDevice();
  }

  /** A project's devices, newest first. */
  async list(
    projectId: number,
    page: PageRequest,
  ): Promise<{ slice: Slice<DeviceDto & { seq: string }>; count: Count }> {
    const list: ListSql = {
      select: 'seq, device_id',
      from: 'devices',
      where: 'project_id = $1',
      seq: 'seq',
      values: [projectId],
    };
    const slice = await readSlice<DeviceDto & { seq: string }>(this.database, list, page);
    for (const item of slice.items) item.created_at = timeOfSeq(item.seq);
    return { slice, count: await countRows(this.database, list, page.count, this.config.limits.countCap) };
  }

  /**
   * Puts a device into another project. Its keys stop working: here at once, on other processes when their cache runs out.
   * Where it is there already nothing changes.
   * @throws Problem not-found; invalid-body for a project that does not exist
   */
  async move(deviceId: string, projectId: number): Promise<MovedDeviceDto> {
    try {
      await this.database.transaction(async (tx) => {
        const [device] = await tx.query<{ project_id: number; is_project: boolean }>(LOCK, [deviceId, projectId]);
        if (device === undefined) throw noSuchDevice();
        if (!device.is_project) throw noSuchProject();
        if (device.project_id === projectId) return;
        await tx.query(MOVE, [deviceId, projectId]);
        await this.keys.revokeOfDevice(deviceId, tx);
      });
    } finally {
      // Also where it is not known whether the commit was done.
      this.keys.forgetDevice(deviceId);
    }
    return { device_id: deviceId, project_id: projectId };
  }
}

function noSuchDevice(): Problem {
  return new Problem('not-found', { detail: 'There is no such device.' });
}

function noSuchProject(): Problem {
  return new Problem('invalid-body', {
    detail: 'There is no such project.',
    errors: [{ pointer: '/project_id', detail: 'names no project' }],
  });
}
