import { Command, CommandRunner, SubCommand } from 'nest-commander';
import { CommandGroup } from './command-group.js';
import { printLine, table } from './output.js';

@SubCommand({ name: 'create', arguments: '<name>', description: 'make a project; prints its id and its name' })
class ProjectCreateCommand extends CommandRunner {
  async run([name = '']: string[]): Promise<void> {
    const { checkedBody, CreateProjectDto, withAccess } = await import('./access-work.js');
    const body = await checkedBody(CreateProjectDto, { name }, { name: '<name>' });
    const made = await withAccess(({ projects }) => projects.create(body.name));
    printLine(`${String(made.project_id)}  ${made.name}`);
  }
}

@SubCommand({ name: 'list', description: 'list the projects, newest first' })
class ProjectListCommand extends CommandRunner {
  async run(): Promise<void> {
    const { allOf, withAccess } = await import('./access-work.js');
    const found = await withAccess(({ projects }) => allOf((page) => projects.list(page)));
    const rows = found.map(({ project_id, name, created_at }) => [String(project_id), name, created_at]);
    table(['PROJECT_ID', 'NAME', 'CREATED_AT'], rows).forEach(printLine);
  }
}

@Command({
  name: 'project',
  description: 'make and list projects, on the database',
  subCommands: [ProjectCreateCommand, ProjectListCommand],
})
export class ProjectCommand extends CommandGroup {}
