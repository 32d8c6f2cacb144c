import { AuditLog, type Actor, type NewAuditEntry } from '#audit';
import { checkPreconditions, etagOfJson, Problem, type Preconditions, type Principal } from '#http';
import { Database, isUniqueViolation, Sequence } from '#database';
import { Injectable } from '@nestjs/common';
import type { CreatedDeviceDto, DeviceDto } from './device.dto.js';
import { DeviceStore } from './device.store.js';
import { KeyService } from './key.service.js';
import { PRECONDITION_RULES } from './precondition-rules.js';
import { ProjectService } from './project.service.js';

@Injectable()
export class DeviceService {
  constructor(
    private readonly store: DeviceStore,
    private readonly keys: KeyService,
    private readonly projects: ProjectService,
    private readonly audit: AuditLog,
    private readonly database: Database,
    private readonly sequence: Sequence,
  ) {}

  /**
   * Creates a device together with its first key.
   * @throws Problem conflict when the id exists in any project; the problem does not reveal which
   */
  async create(projectId: number, deviceId: string, actor: Actor): Promise<CreatedDeviceDto> {
    const device = { device_id: deviceId, project_id: projectId, seq: this.sequence.next().toString() };
    try {
      return await this.database.transaction(async (tx) => {
        await this.store.insert(device, tx);
        const newKey = { projectId, role: 'device', name: 'created with the device', deviceId } as const;
        const { created, entry } = await this.keys.createIn(tx, newKey, actor);
        const { key_id, key } = created;
        const target = { type: 'device', id: deviceId } as const;
        await this.audit.append(tx, { projectId, actor, action: 'device.create', target, details: { key_id } }, entry);
        return { device_id: deviceId, key_id, key };
      });
    } catch (error) {
      if (!isUniqueViolation(error)) throw error;
      throw new Problem('conflict', {
        detail: `The device id "${deviceId}" exists already; device ids are unique in the installation.`,
        errors: [{ pointer: '/device_id', detail: `"${deviceId}" exists already` }],
      });
    }
  }

  /** @throws Problem not-found, also for a device of another project */
  async get(projectId: number, deviceId: string): Promise<DeviceDto> {
    const device = await this.store.find(projectId, deviceId);
    if (device === null) throw deviceNotFound();
    return device;
  }

  /**
   * Checks that the principal may read the data of a device. A device may read only its own.
   * @throws Problem not-found, the same for a device that does not exist, is of another project, or is not the principal's
   */
  async requireReadable({ projectId, role, deviceId: own }: Principal, deviceId: string): Promise<void> {
    if (projectId === null || (role === 'device' && own !== deviceId)) throw deviceNotFound();
    await this.get(projectId, deviceId);
  }

  /**
   * Moves a device to another project and revokes its keys: at once in this process, in others within 5 seconds.
   * Moving it to its current project changes nothing.
   * @throws Problem not-found; invalid-body for an unknown project; precondition-failed
   */
  async move(deviceId: string, projectId: number, actor: Actor, preconditions: Preconditions = {}): Promise<DeviceDto> {
    let revokedKeys: string[] = [];
    try {
      return await this.database.transaction(async (tx) => {
        const device = await this.store.lock(deviceId, tx);
        if (device === null) throw deviceNotFound();
        if (!(await this.projects.lockShared(projectId, tx))) throw projectNotFound();
        checkPreconditions(preconditions, etagOfJson(device), PRECONDITION_RULES);
        if (device.project_id === projectId) return device;
        await this.store.move(deviceId, projectId, tx);
        revokedKeys = await this.keys.revokeOfDevice(deviceId, tx);
        // Each of the two projects learns only about itself.
        const target = { type: 'device', id: deviceId } as const;
        const entry = { actor, action: 'device.move', target } as const satisfies Partial<NewAuditEntry>;
        await this.audit.append(
          tx,
          { ...entry, projectId: device.project_id, details: { direction: 'out', revoked_keys: revokedKeys.length } },
          { ...entry, projectId, details: { direction: 'in' } },
        );
        return { ...device, project_id: projectId };
      });
    } finally {
      // Also where the outcome of the commit is unknown.
      this.keys.forget(revokedKeys);
    }
  }
}

function deviceNotFound(): Problem {
  return new Problem('not-found', { detail: 'Device not found.' });
}

function projectNotFound(): Problem {
  return new Problem('invalid-body', {
    detail: '/project_id does not exist.',
    errors: [{ pointer: '/project_id', detail: 'does not exist' }],
  });
}
