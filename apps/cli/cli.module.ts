import { Injectable, Module } from '@nestjs/common';
import { InjectCommander, type CommandRunner } from 'nest-commander';
import { AuditCommand } from './audit.command.js';
import { BackupCommand } from './backup.command.js';
import { CheckCommand } from './check.command.js';
import { DemoCommand } from './demo.command.js';
import { DeviceCommand } from './device.command.js';
import { ExportCommand } from './export.command.js';
import { KeyCommand } from './key.command.js';
import { LoadCommand } from './load.command.js';
import { MigrateCommand } from './migrate.command.js';
import { ProjectCommand } from './project.command.js';
import { RestoreCommand } from './restore.command.js';
import { ServeCommand } from './serve.command.js';
import { ShellCommand } from './shell.command.js';
import { WorkerCommand } from './worker.command.js';

/** The class Command of commander, which nest-commander does not export. */
export type Program = Parameters<CommandRunner['setCommand']>[0];

/** Gives access to the root command that nest-commander built. */
@Injectable()
export class CommandTree {
  constructor(@InjectCommander() readonly program: Program) {}
}

/** The commands, in the order that the help shows. Each imports its dependencies when it runs, so that `--help` is fast. */
@Module({
  providers: [
    ServeCommand,
    WorkerCommand,
    MigrateCommand,
    LoadCommand,
    ExportCommand,
    ...ProjectCommand.registerWithSubCommands(),
    ...KeyCommand.registerWithSubCommands(),
    ...DeviceCommand.registerWithSubCommands(),
    ...AuditCommand.registerWithSubCommands(),
    BackupCommand,
    RestoreCommand,
    CheckCommand,
    DemoCommand,
    ShellCommand,
    CommandTree,
  ],
})
export class CliModule {}
