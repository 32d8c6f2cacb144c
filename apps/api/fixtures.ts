import { readdir, readFile } from 'node:fs/promises';
import { FIRST_START } from '#audit';
import { DeviceService } from '#access';
import { WriteOperations, type WriteRequest } from '#jobs';
import { API, JsonBody, Problem } from '#http';
import { Clock, Config, projectFile } from '#platform';
import { Sequence } from '#database';
import { Injectable } from '@nestjs/common';

const HOUR_MS = 3_600_000;

/** Devices. Times are hours before now, so that the example always has recent events. */
interface Fleet {
  devices: { device_id: string; events: { version: string; hours_ago: number; status?: string }[] }[];
}

/** Rooms. The last temperature of each is of the current hour. */
interface Rooms {
  rooms: { building: string; room: string; hourly: number[] }[];
}

/** Loads the files of `fixtures/` with the operations that requests use. */
@Injectable()
export class Fixtures {
  constructor(
    private readonly operations: WriteOperations,
    private readonly devices: DeviceService,
    private readonly clock: Clock,
    private readonly sequence: Sequence,
    private readonly config: Config,
  ) {}

  /** Loads every file; data that an interrupted load has stored already is skipped. @returns the objects and files loaded */
  async load(projectId: number): Promise<{ objects: number; files: number }> {
    const folder = projectFile('fixtures');
    const names = (await readdir(folder)).filter((file) => file.endsWith('.json')).sort();
    let objects = 0;
    for (const name of names) objects += await this.loadFile(projectId, await readFile(`${folder}/${name}`));
    return { objects, files: names.length };
  }

  /** The first member of a file identifies its kind. */
  private loadFile(projectId: number, bytes: Buffer): Promise<number> {
    const file = JSON.parse(bytes.toString()) as object;
    const [first] = Object.keys(file);
    if (first === 'devices') return this.loadFleet(projectId, file as Fleet);
    if (first === 'rooms') return this.loadRooms(projectId, file as Rooms);
    const isFeed = first === 'factories' || first === 'sprockets';
    return this.run(isFeed ? `${first}.create` : 'batch.create', projectId, bytes);
  }

  private async loadFleet(projectId: number, { devices }: Fleet): Promise<number> {
    const now = Math.floor(Date.now() / HOUR_MS) * HOUR_MS;
    let count = 0;
    for (const { device_id: deviceId, events } of devices) {
      // The key of the new device is not shown to anyone; an admin can create another.
      await skipStored(this.devices.create(projectId, deviceId, FIRST_START));
      for (const { version, hours_ago: hours, status } of events) {
        const update = { firmware: version, timestamp: rfc3339(now - hours * HOUR_MS), status };
        const bytes = Buffer.from(JSON.stringify(update));
        count += await this.run('firmware.update', projectId, bytes, { device_id: deviceId });
      }
    }
    return count;
  }

  private async loadRooms(projectId: number, { rooms }: Rooms): Promise<number> {
    const now = Math.floor(Date.now() / HOUR_MS) * HOUR_MS;
    let count = 0;
    for (const { hourly, ...params } of rooms) {
      const readings = hourly.map((temperature, index) => {
        return { temperature, recorded_at: rfc3339(now - (hourly.length - 1 - index) * HOUR_MS) };
      });
      const bytes = Buffer.from(JSON.stringify(readings));
      count += await this.run('temperatures.record', projectId, bytes, params);
    }
    return count;
  }

  private async run(
    operation: string,
    projectId: number,
    bytes: Buffer,
    params: Record<string, string> = {},
  ): Promise<number> {
    const body = new JsonBody(bytes, this.config.limits.bodyLimitBytes);
    const request: WriteRequest = {
      projectId,
      role: 'admin',
      actor: FIRST_START,
      params,
      query: {},
      body,
      preconditions: {},
      receivedAtMicros: this.clock.receivedAt(),
      requestSeq: this.sequence.next().toString(),
      baseUrl: API,
    };
    const response = await skipStored(this.operations.get(operation).run(request));
    return response?.items ?? 0;
  }
}

/** @returns undefined when an earlier start, interrupted before it recorded the load, has stored it already */
async function skipStored<T>(work: Promise<T>): Promise<T | undefined> {
  return work.catch((error: unknown) => {
    if (error instanceof Problem && error.slug === 'conflict') return undefined;
    throw error;
  });
}

function rfc3339(ms: number): string {
  return new Date(ms).toISOString().replace('.000Z', 'Z');
}
