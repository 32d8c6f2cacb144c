import { readdir, readFile } from 'node:fs/promises';
import { DeviceService } from '#access';
import { FirmwareOperations } from '#firmware';
import type { Operation } from '#jobs';
import { API, Config, JsonBody, Problem, projectFile } from '#platform';
import { SprocketsOperations } from '#sprockets';
import { TemperatureOperations } from '#temperatures';
import { BatchOperations } from '#warehouse';
import { Injectable } from '@nestjs/common';

const HOUR_MS = 3_600_000;

/** A fleet; its times are told from now, so that something has always just happened. */
interface Fleet {
  devices: { device_id: string; events: { version: string; hours_ago: number; status?: string }[] }[];
}

/** Rooms; the last of each one's temperatures is that of the hour that goes on. */
interface Rooms {
  rooms: { building: string; room: string; hourly: number[] }[];
}

/** Loads `fixtures/`: what they hold goes through the same doors as what users send. */
@Injectable()
export class Fixtures {
  constructor(
    private readonly batches: BatchOperations,
    private readonly sprockets: SprocketsOperations,
    private readonly devices: DeviceService,
    private readonly firmware: FirmwareOperations,
    private readonly temperatures: TemperatureOperations,
    private readonly config: Config,
  ) {}

  /** Can be repeated where it was cut off. @returns how many objects of how many files there are now */
  async load(projectId: number): Promise<{ objects: number; files: number }> {
    const folder = projectFile('fixtures');
    const names = (await readdir(folder)).filter((file) => file.endsWith('.json')).sort();
    let objects = 0;
    for (const name of names) objects += await this.loadFile(projectId, await readFile(`${folder}/${name}`));
    return { objects, files: names.length };
  }

  /** By its first member a file says what it holds. */
  private loadFile(projectId: number, bytes: Buffer): Promise<number> {
    const file = JSON.parse(bytes.toString()) as object;
    const [first] = Object.keys(file);
    if (first === 'devices') return this.loadFleet(projectId, file as Fleet);
    if (first === 'rooms') return this.loadRooms(projectId, file as Rooms);
    if (first === 'factories') return this.run(this.sprockets.createFactories, projectId, bytes);
    if (first === 'sprockets') return this.run(this.sprockets.createSprockets, projectId, bytes);
    return this.run(this.batches.create, projectId, bytes);
  }

  private async loadFleet(projectId: number, { devices }: Fleet): Promise<number> {
    const now = Math.floor(Date.now() / HOUR_MS) * HOUR_MS;
    let count = 0;
    for (const { device_id: deviceId, events } of devices) {
      // Nobody sees the key that comes with it; an admin makes another.
      await orThere(this.devices.create(projectId, deviceId));
      const reports = events.map(({ version, hours_ago: hours, status = null }) => {
        return { deviceId, version, time: rfc3339(now - hours * HOUR_MS), status };
      });
      await this.firmware.store(projectId, reports);
      count += reports.length;
    }
    return count;
  }

  private async loadRooms(projectId: number, { rooms }: Rooms): Promise<number> {
    const now = Math.floor(Date.now() / HOUR_MS) * HOUR_MS;
    let count = 0;
    for (const { hourly, ...params } of rooms) {
      const readings = hourly.map((temperature, place) => {
        return { temperature, recorded_at: rfc3339(now - (hourly.length - 1 - place) * HOUR_MS) };
      });
      const bytes = Buffer.from(JSON.stringify(readings));
      count += await this.run(this.temperatures.record, projectId, bytes, params, { arrivedAt: Date.now() * 1_000 });
    }
    return count;
  }

  private async run(
    operation: Operation,
    projectId: number,
    bytes: Buffer,
    params: Record<string, string> = {},
    query: Record<string, unknown> = {},
  ): Promise<number> {
    const body = new JsonBody(bytes, this.config.limits.bodyLimitBytes);
    const outcome = await orThere(operation.run({ projectId, body, params, query, base: API }));
    return outcome?.items ?? 0;
  }
}

/** Undefined where it was stored by a start that was cut off before it could make its mark. */
async function orThere<T>(work: Promise<T>): Promise<T | undefined> {
  return work.catch((error: unknown) => {
    if (error instanceof Problem && error.slug === 'conflict') return undefined;
    throw error;
  });
}

function rfc3339(ms: number): string {
  return new Date(ms).toISOString().replace('.000Z', 'Z');
}
