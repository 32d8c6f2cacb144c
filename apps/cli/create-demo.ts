import { COMMAND_LINE } from '#audit';
import { Config } from '#platform';
import { FirmwareModule, eventsToStore, type FirmwareEvent } from '#firmware';
import { FeedWriter } from '#feeds';
import type { INestApplicationContext } from '@nestjs/common';
import pLimit from 'p-limit';
import { getAccessServices, withModule, type AccessServices } from './access-services.js';

/** A created demo project. Its keys are stored nowhere else. */
export interface Demo {
  /** Where the project was created: a data dir, or DATABASE_URL. */
  database: string;
  projectId: number;
  name: string;
  keys: Record<'analyst' | 'producer', string>;
  devices: { deviceId: string; key: string }[];
}

/** Devices created at a time: the smallest pool has four connections. */
const CONCURRENCY = 3;
const DAY_MS = 86_400_000;
/** The firmware events of each device. */
const HISTORY = [
  { version: '1.0.0', daysAgo: 30, status: null },
  { version: '1.1.0', daysAgo: 7, status: 'updated' },
  { version: '1.2.0', daysAgo: 1, status: 'updated' },
] as const;

/**
 * Creates a project with devices and their firmware events.
 * @param name the name of the project; undefined takes the first unused demo-<n>
 */
export function createDemo(name: string | undefined, deviceCount: number): Promise<Demo> {
  return withModule(FirmwareModule, { leasesLane: true }, async (app) => {
    const services = getAccessServices(app);
    const project = await services.projects.create({ name: name ?? (await findUnusedName(services)) }, COMMAND_LINE);
    const projectId = project.project_id;
    const createKey = async (role: 'analyst' | 'producer'): Promise<string> =>
      (await services.keys.create({ projectId, role, name: `demo ${role}` }, COMMAND_LINE)).key;
    const devices = await createDevices(services, projectId, deviceCount);
    await storeEvents(app, projectId, devices);
    const { url, dataDir } = app.get(Config, { strict: false }).database;
    return {
      database: url === null ? dataDir : 'DATABASE_URL',
      projectId,
      name: project.name,
      keys: { analyst: await createKey('analyst'), producer: await createKey('producer') },
      devices,
    };
  });
}

async function findUnusedName({ projects }: AccessServices): Promise<string> {
  for (let n = 1; ; n++) if ((await projects.findByName(`demo-${String(n)}`)) === null) return `demo-${String(n)}`;
}

/** Device ids are unique in the installation, so they contain the project's id. */
function createDevices({ devices }: AccessServices, projectId: number, count: number): Promise<Demo['devices']> {
  const ids = Array.from({ length: count }, (_, index) => `device-${String(projectId)}-${String(index + 1)}`);
  return pLimit(CONCURRENCY).map(ids, async (deviceId) => ({
    deviceId,
    key: (await devices.create(projectId, deviceId, COMMAND_LINE)).key,
  }));
}

async function storeEvents(app: INestApplicationContext, projectId: number, devices: Demo['devices']): Promise<void> {
  const now = Math.floor(Date.now() / 1_000) * 1_000;
  const events = HISTORY.flatMap(({ version, daysAgo, status }) =>
    devices.map(({ deviceId }, index): FirmwareEvent => {
      const timestamp = new Date(now - daysAgo * DAY_MS - index * 1_000).toISOString().replace('.000', '');
      return { device_id: deviceId, version, timestamp, status };
    }),
  );
  await app
    .get(FeedWriter, { strict: false })
    .write({ projectId, actor: COMMAND_LINE, ...eventsToStore(events, now * 1_000) });
}
