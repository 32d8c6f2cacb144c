import { Command, CommandRunner, Option } from 'nest-commander';
import type { CheckedProject, CheckOptions } from './check-services.js';
import { oneLine, printLine } from './output.js';
import { PROJECT_OPTION } from './project-option.js';

@Command({
  name: 'check',
  description: 'compare the index with the objects, in the database; exits with 1 if they differ',
})
export class CheckCommand extends CommandRunner {
  async run(_: string[], options: CheckOptions): Promise<void> {
    const { checkProjects } = await import('./check-services.js');
    /** Of the last comparison of each project. */
    const differences = new Map<number, number>();
    await checkProjects(options, (checked) => {
      differences.set(checked.projectId, checked.report.differenceCount);
      printLine(lineOf(checked));
    });
    if ([...differences.values()].some((count) => count > 0)) process.exitCode = 1;
  }

  @Option({ ...PROJECT_OPTION, description: 'only this project (default: all projects)' })
  parseProject(value: string): string {
    return value;
  }

  @Option({
    flags: '--repair',
    description: 'build an index that differs again; meanwhile filters of the project are slower',
  })
  parseRepair(): boolean {
    return true;
  }
}

function lineOf({ projectId, name, report, isRebuilt }: CheckedProject): string {
  const { objects, isBuilding, differences, differenceCount } = report;
  const states = [`${String(objects)} objects`];
  if (isRebuilt) states.push('the index was built again');
  if (isBuilding) states.push('the index is being built');
  const [first] = differences;
  if (first === undefined) states.push(...(isBuilding ? [] : ['the index is right']));
  else {
    const ofObject = first.seq === null ? '' : ` (sequence number ${first.seq})`;
    const count = differenceCount === 1 ? '1 difference' : `${String(differenceCount)} differences`;
    states.push(`${count}, the first: ${first.detail}${ofObject}`);
  }
  return oneLine(`project ${String(projectId)} "${name}": ${states.join(', ')}`);
}
