import { Command, CommandRunner, Option } from 'nest-commander';
import { serverOrigin, serverSettings } from './client-settings.js';
import type { Demo } from './demo-work.js';
import { oneLine, printLine, table } from './output.js';
import { UsageError } from './usage-error.js';

const DEVICES_DEFAULT = 5;
const DEVICES_MAX = 1_000;

@Command({
  name: 'demo',
  description: 'make a project with devices and firmware events, and print its keys and requests to paste',
})
export class DemoCommand extends CommandRunner {
  async run(_: string[], { project, devices }: { project?: string; devices: number }): Promise<void> {
    const api = `${serverOrigin(await serverSettings())}/api/v1`;
    const { checkedBody, CreateProjectDto } = await import('./access-work.js');
    if (project !== undefined) await checkedBody(CreateProjectDto, { name: project }, { name: '--project' });
    const { makeDemo } = await import('./demo-work.js');
    linesOf(await makeDemo(project, devices), api).forEach(printLine);
  }

  @Option({
    flags: '--project <name>',
    description: 'the name of the project (default: the first demo-<n> that is free)',
  })
  parseProject(value: string): string {
    return value;
  }

  @Option({
    flags: '--devices <n>',
    description: `how many devices, 1 to ${String(DEVICES_MAX)}`,
    defaultValue: DEVICES_DEFAULT,
  })
  parseDevices(value: string): number {
    const count = /^\d{1,4}$/.test(value) ? Number(value) : 0;
    if (count >= 1 && count <= DEVICES_MAX) return count;
    throw new UsageError(`--devices must be a whole number from 1 to ${String(DEVICES_MAX)}, not "${value}"`);
  }
}

/** What was made: the keys are shown this once. */
function linesOf({ database, projectId, name, keys, devices }: Demo, api: string): string[] {
  return [
    `project ${String(projectId)}  ${oneLine(name)}`,
    `made in the database ${database}, which a server has to use for these requests`,
    '',
    ...table(['ROLE', 'KEY'], Object.entries(keys)),
    '',
    ...table(
      ['DEVICE_ID', 'KEY'],
      devices.map(({ deviceId, key }) => [deviceId, key]),
    ),
    '',
    'Requests to paste, as a device, an analyst and a producer:',
    ...requestsToPaste({ keys, devices }, api),
  ];
}

function requestsToPaste(
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
