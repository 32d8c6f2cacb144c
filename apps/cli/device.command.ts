import { Command, CommandRunner, Option, SubCommand } from 'nest-commander';
import { CommandGroup } from './command-group.js';
import { printLine, sayLine, table } from './output.js';

/** The project that a first start makes; #access would tell, after half a second of loading. */
const DEFAULT_PROJECT = 'default';
const PROJECT_FLAGS = '--project <name or id>';
const PROJECT_HELP = `the project (default: "${DEFAULT_PROJECT}")`;

@SubCommand({
  name: 'create',
  arguments: '<device_id>',
  description: 'make a device, and print its key this once: alone on standard output',
})
class DeviceCreateCommand extends CommandRunner {
  async run([deviceId = '']: string[], { project = DEFAULT_PROJECT }: { project?: string }): Promise<void> {
    const { checkedBody, CreateDeviceDto, projectIdOf, withAccess } = await import('./access-work.js');
    const body = await checkedBody(CreateDeviceDto, { device_id: deviceId }, { device_id: '<device_id>' });
    const made = await withAccess(async (services) =>
      services.devices.create(await projectIdOf(services, project), body.device_id),
    );
    sayLine(`made the device ${made.device_id} in the project ${project}; its key ${made.key_id} is shown this once:`);
    printLine(made.key);
  }

  @Option({ flags: PROJECT_FLAGS, description: PROJECT_HELP })
  parseProject(value: string): string {
    return value;
  }
}

@SubCommand({ name: 'list', description: "list a project's devices, newest first" })
class DeviceListCommand extends CommandRunner {
  async run(_: string[], { project = DEFAULT_PROJECT }: { project?: string }): Promise<void> {
    const { allOf, projectIdOf, withAccess } = await import('./access-work.js');
    const found = await withAccess(async (services) => {
      const projectId = await projectIdOf(services, project);
      return allOf((page) => services.devices.list(projectId, page));
    });
    const rows = found.map(({ device_id, created_at }) => [created_at, device_id]);
    table(['CREATED_AT', 'DEVICE_ID'], rows).forEach(printLine);
  }

  @Option({ flags: PROJECT_FLAGS, description: PROJECT_HELP })
  parseProject(value: string): string {
    return value;
  }
}

@SubCommand({
  name: 'move',
  arguments: '<device_id>',
  description: 'put a device into another project; its keys stop working, within 5 seconds',
})
class DeviceMoveCommand extends CommandRunner {
  async run([deviceId = '']: string[], { to }: { to: string }): Promise<void> {
    const { projectIdOf, withAccess } = await import('./access-work.js');
    await withAccess(async (services) => services.devices.move(deviceId, await projectIdOf(services, to)));
    // A server that has just seen a key remembers it that long.
    printLine(`the device ${deviceId} is in the project ${to}; every server refuses keys of another within 5 s`);
  }

  @Option({ flags: '--to <name or id>', description: 'the project that it moves to', required: true })
  parseTo(value: string): string {
    return value;
  }
}

@Command({
  name: 'device',
  description: 'make, list and move devices, on the database',
  subCommands: [DeviceCreateCommand, DeviceListCommand, DeviceMoveCommand],
})
export class DeviceCommand extends CommandGroup {}
