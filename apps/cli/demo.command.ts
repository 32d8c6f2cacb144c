import { Command, CommandRunner, Option } from 'nest-commander';
import { readSettings, serverOrigin } from './client-settings.js';
import type { Demo } from './create-demo.js';
import { oneLine, printLine, table } from './output.js';
import { UsageError } from './usage-error.js';

const DEVICES_DEFAULT = 5;
const DEVICES_MAX = 1_000;

@Command({
  name: 'demo',
  description: 'create a project with devices and firmware events; print its keys and example requests',
})
export class DemoCommand extends CommandRunner {
  async run(_: string[], { project, devices }: { project?: string; devices: number }): Promise<void> {
    const api = `${serverOrigin(await readSettings())}/api/v1`;
    const { CreateProjectDto, validateOptions } = await import('./access-services.js');
    if (project !== undefined) await validateOptions(CreateProjectDto, { name: project }, { name: '--project' });
    const { createDemo } = await import('./create-demo.js');
    formatDemo(await createDemo(project, devices), api).forEach(printLine);
  }

  @Option({
    flags: '--project <name>',
    description: 'the name of the project (default: the first unused demo-<n>)',
  })
  parseProject(value: string): string {
    return value;
  }

  @Option({
    flags: '--devices <n>',
    description: `number of devices, 1 to ${String(DEVICES_MAX)}`,
    defaultValue: DEVICES_DEFAULT,
  })
  parseDevices(value: string): number {
    const count = /^\d{1,4}$/.test(value) ? Number(value) : 0;
    if (count >= 1 && count <= DEVICES_MAX) return count;
    throw new UsageError(`--devices must be a whole number from 1 to ${String(DEVICES_MAX)}, not "${value}"`);
  }
}

function formatDemo({ database, projectId, name, keys, devices }: Demo, api: string): string[] {
  return [
    `project ${String(projectId)}  ${oneLine(name)}`,
    `created in the database of ${database}; the requests need a server that uses this database`,
    'the keys are shown only once:',
    '',
    ...table(['ROLE', 'KEY'], Object.entries(keys)),
    '',
    ...table(
      ['DEVICE_ID', 'KEY'],
      devices.map(({ deviceId, key }) => [deviceId, key]),
    ),
    '',
    'Example requests, as a device, an analyst and a producer:',
    ...exampleRequests({ keys, devices }, api),
  ];
}

function exampleRequests(
  { keys: { analyst, producer }, devices }: Pick<Demo, 'keys' | 'devices'>,
  api: string,
): string[] {
  const [{ deviceId, key } = { deviceId: '', key: '' }] = devices;
  const update = `{"firmware":"2.0.0","timestamp":${String(Math.floor(Date.now() / 1_000))},"status":"updated"}`;
  const batch = '{"batch_id":"hello","objects":[{"object_id":"hello-1","data":{"type":"shoe","size":42}}]}';
  const json = `-H 'Content-Type: application/json'`;
  return [
    `  curl -s -H 'X-Device-Api-Key: ${key}' ${json} -d '${update}' '${api}/firmware/${deviceId}'`,
    `  curl -s -H 'X-Api-Key: ${analyst}' '${api}/firmware?device_id=${deviceId}'`,
    `  curl -s -H 'X-Api-Key: ${producer}' ${json} -d '${batch}' '${api}/batches'`,
  ];
}
