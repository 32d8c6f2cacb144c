import { Config } from '#platform';
import { FirmwareModule, storing, type FirmwareEvent } from '#firmware';
import { FeedWriter } from '#warehouse';
import type { INestApplicationContext } from '@nestjs/common';
import pLimit from 'p-limit';
import { accessOf, withModule, type AccessServices } from './access-work.js';

/** What a demo made; the keys are nowhere else. */
export interface Demo {
  /** Where it was made, in words. */
  database: string;
  projectId: number;
  name: string;
  keys: Record<'analyst' | 'producer', string>;
  devices: { deviceId: string; key: string }[];
}

/** Devices that are made at a time; the smallest pool has four connections. */
const AT_A_TIME = 3;
const DAY_MS = 86_400_000;
/** What each device has been through. */
const HISTORY = [
  { version: '1.0.0', daysAgo: 30, status: null },
  { version: '1.1.0', daysAgo: 7, status: 'updated' },
  { version: '1.2.0', daysAgo: 1, status: 'updated' },
] as const;

/** Makes a project with a fleet of devices that have reported. @param name left out: the first demo-<n> that is free */
export function makeDemo(name: string | undefined, deviceCount: number): Promise<Demo> {
  return withModule(FirmwareModule, async (app) => {
    const services = accessOf(app);
    const { project_id: projectId, name: made } = await services.projects.create(name ?? (await freeName(services)));
    const keyFor = async (role: 'analyst' | 'producer'): Promise<string> =>
      (await services.keys.create({ projectId, role, name: `demo ${role}` })).key;
    const devices = await makeDevices(services, projectId, deviceCount);
    await report(app, projectId, devices);
    const { url, dataDir } = app.get(Config, { strict: false }).database;
    return {
      database: url === null ? `in ${dataDir}` : 'of DATABASE_URL',
      projectId,
      name: made,
      keys: { analyst: await keyFor('analyst'), producer: await keyFor('producer') },
      devices,
    };
  });
}

async function freeName({ projects }: AccessServices): Promise<string> {
  for (let n = 1; ; n++) if ((await projects.findByName(`demo-${String(n)}`)) === null) return `demo-${String(n)}`;
}

/** Ids of devices are unique in the installation, so they carry the project's. */
function makeDevices({ devices }: AccessServices, projectId: number, count: number): Promise<Demo['devices']> {
  const ids = Array.from({ length: count }, (_, at) => `device-${String(projectId)}-${String(at + 1)}`);
  return pLimit(AT_A_TIME).map(ids, async (deviceId) => ({
    deviceId,
    key: (await devices.create(projectId, deviceId)).key,
  }));
}

async function report(app: INestApplicationContext, projectId: number, devices: Demo['devices']): Promise<void> {
  const now = Math.floor(Date.now() / 1_000) * 1_000;
  const events = HISTORY.flatMap(({ version, daysAgo, status }) =>
    devices.map(({ deviceId }, at): FirmwareEvent => {
      const timestamp = new Date(now - daysAgo * DAY_MS - at * 1_000).toISOString().replace('.000', '');
      return { device_id: deviceId, version, timestamp, status };
    }),
  );
  await app.get(FeedWriter, { strict: false }).write({ projectId, ...storing(events, { at: now * 1_000 }) });
}
