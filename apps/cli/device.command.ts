import type { DeviceDto } from '#access';
import { Command, CommandRunner, Option, SubCommand } from 'nest-commander';
import { CommandGroup } from './command-group.js';
import { printLine, printMessage, table } from './output.js';
import { PROJECT_OPTION } from './project-option.js';

@SubCommand({
  name: 'create',
  arguments: '<device_id>',
  description: 'create a device and print its key; it is shown only once',
})
class DeviceCreateCommand extends CommandRunner {
  async run([deviceId = '']: string[], { project }: { project?: string }): Promise<void> {
    const access = await import('./access-services.js');
    const body = await access.validateOptions(
      access.CreateDeviceDto,
      { device_id: deviceId },
      { device_id: '<device_id>' },
    );
    const { created, projectName } = await access.withAccessToCreate(async (services) => {
      const { project_id, name } = await access.getProject(services, project);
      const created = await services.devices.create(project_id, body.device_id, access.COMMAND_LINE);
      return { created, projectName: name };
    });
    const { device_id: id, key_id: keyId } = created;
    printMessage(`created device ${id} in project ${projectName}; its key ${keyId} is shown only once:`);
    printLine(created.key);
  }

  @Option(PROJECT_OPTION)
  parseProject(value: string): string {
    return value;
  }
}

@SubCommand({ name: 'list', description: 'list the devices of a project, newest first' })
class DeviceListCommand extends CommandRunner {
  async run(_: string[], { project }: { project?: string }): Promise<void> {
    const access = await import('./access-services.js');
    const devices = await access.withAccess(async (services) => {
      const projectId = await access.getProjectId(services, project);
      return access.listAll((page) => services.deviceStore.list(projectId, page));
    });
    printDevices(devices);
  }

  @Option(PROJECT_OPTION)
  parseProject(value: string): string {
    return value;
  }
}

@SubCommand({ name: 'get', arguments: '<device_id>', description: 'print a device of a project' })
class DeviceGetCommand extends CommandRunner {
  async run([deviceId = '']: string[], { project }: { project?: string }): Promise<void> {
    const { getProjectId, withAccess } = await import('./access-services.js');
    const device = await withAccess(async (services) =>
      services.devices.get(await getProjectId(services, project), deviceId),
    );
    printDevices([device]);
  }

  @Option(PROJECT_OPTION)
  parseProject(value: string): string {
    return value;
  }
}

@SubCommand({
  name: 'move',
  arguments: '<device_id>',
  description: 'move a device to another project; every server rejects its old keys within 5 seconds',
})
class DeviceMoveCommand extends CommandRunner {
  async run([deviceId = '']: string[], { to }: { to: string }): Promise<void> {
    const { COMMAND_LINE, getProjectId, withAccess } = await import('./access-services.js');
    await withAccess(async (services) =>
      services.devices.move(deviceId, await getProjectId(services, to), COMMAND_LINE),
    );
    // A server caches a key that it has authenticated for that long.
    printLine(`device ${deviceId} is in project ${to}; every server rejects keys of its former project within 5 s`);
  }

  @Option({ flags: '--to <name or id>', description: 'the project to move the device to', required: true })
  parseTo(value: string): string {
    return value;
  }
}

function printDevices(devices: readonly DeviceDto[]): void {
  const rows = devices.map(({ device_id, created_at }) => [created_at, device_id]);
  table(['CREATED_AT', 'DEVICE_ID'], rows).forEach(printLine);
}

@Command({
  name: 'device',
  description: 'create, list, get and move devices, in the database',
  subCommands: [DeviceCreateCommand, DeviceListCommand, DeviceGetCommand, DeviceMoveCommand],
})
export class DeviceCommand extends CommandGroup {}
