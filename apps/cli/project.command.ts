import { Command, CommandRunner, SubCommand } from 'nest-commander';
import { CommandGroup } from './command-group.js';
import { printLine, table } from './output.js';

@SubCommand({ name: 'create', arguments: '<name>', description: 'create a project and print its id and name' })
class ProjectCreateCommand extends CommandRunner {
  async run([name = '']: string[]): Promise<void> {
    const { COMMAND_LINE, CreateProjectDto, validateOptions, withAccessToCreate } =
      await import('./access-services.js');
    const body = await validateOptions(CreateProjectDto, { name }, { name: '<name>' });
    const created = await withAccessToCreate(({ projects }) => projects.create(body, COMMAND_LINE));
    printLine(`${String(created.project_id)}  ${created.name}`);
  }
}

@SubCommand({ name: 'list', description: 'list the projects, newest first' })
class ProjectListCommand extends CommandRunner {
  async run(): Promise<void> {
    const { listAll, withAccess } = await import('./access-services.js');
    const found = await withAccess(({ projects }) => listAll((page) => projects.list(page)));
    const rows = found.map(({ project_id, name, created_at }) => [String(project_id), name, created_at]);
    table(['PROJECT_ID', 'NAME', 'CREATED_AT'], rows).forEach(printLine);
  }
}

@Command({
  name: 'project',
  description: 'create and list projects, in the database',
  subCommands: [ProjectCreateCommand, ProjectListCommand],
})
export class ProjectCommand extends CommandGroup {}
